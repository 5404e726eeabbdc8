// Task files: what is read, what is refused and how the message names it, and how examples are dealt.
#include "data/task.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/terminal.h"
#include "data/about.h"
#include "data/example.h"
#include "fixtures.h"

namespace gaggle {
namespace {

Task load_one(const std::string& path, int64_t limit = 0) { return load_tasks({path}, limit).at(0); }

TEST(Task, ExamplesOfBothForms) {
  const TestFolder folder;
  const Task task = load_one(
      folder.write("greet.jsonl",
                   "\xEF\xBB\xBF{\"input\": \"a\", \"output\": \"b\", \"split\": \"train\"}\r\n"
                   "\n"
                   "{\"messages\": [{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"u\"},"
                   "{\"role\":\"assistant\",\"content\":\"yes\"}], \"choices\": [\"no\", \"yes\"], "
                   "\"id\": \"x7\", \"split\": \"test\"}\n"));
  EXPECT_EQ(task.name, "greet");
  EXPECT_EQ(task.metric, "exact_match");
  const Example& first = task.examples(Split::train).at(0);
  EXPECT_EQ(first.id, "1");
  ASSERT_EQ(first.messages.size(), 1u);
  EXPECT_EQ(first.messages[0].role, "user");
  EXPECT_EQ(first.messages[0].content, "a");
  EXPECT_EQ(first.output, "b");
  const Example& second = task.examples(Split::test).at(0);
  EXPECT_EQ(second.id, "x7");
  ASSERT_EQ(second.messages.size(), 2u);
  EXPECT_EQ(second.output, "yes");
  EXPECT_EQ(second.choices, (std::vector<std::string>{"no", "yes"}));
}

// Each bad line stands on line 2, and the message must say so and hold the words beside it.
TEST(Task, BadLinesNameFileAndLine) {
  const std::map<std::string, std::string> cases = {
      {"{\"input\": \"a\", \"output\": ", "not JSON"},
      {"{\"input\": \"a\", \"output\": \"b\", \"id\": 1e999}", "number overflow parsing '1e999'"},
      {std::string(200'000, '['), "nested deeper than 64 levels"},
      {"{\"input\": \"a\", \"output\": \"\xff\"}", "not UTF-8"},
      {"{\"input\": \"a\", \"output\": \"\xed\xa0\x80\"}", "not UTF-8"},
      {"[1]", "an example is an object"},
      {"{\"input\": \"a\"}", "no \"output\""},
      {"{\"output\": \"a\"}", "no \"input\""},
      {"{\"input\": \"a\", \"output\": \"\"}", "output is empty"},
      {"{\"input\": \"a\", \"output\": 3}", "\"output\" is number, expected text"},
      {"{\"input\": \"a\", \"output\": \"b\", \"output\": \"c\"}", "stands twice"},
      {"{\"input\": \"a\", \"output\": \"b\", \"choises\": []}", "unknown key \"choises\" (did you mean choices?)"},
      {"{\"input\": \"a\", \"output\": \"b\", \"choices\": [\"c\"]}", "the output \"b\" is none of the choices"},
      {"{\"input\": \"a\", \"output\": \"b\", \"choices\": [\"b\", \"b\"]}", "is there twice"},
      {"{\"input\": \"a\", \"output\": \"b\", \"split\": \"trian\"}", "unknown split \"trian\" (did you mean train?)"},
      {"{\"messages\": [{\"role\":\"user\",\"content\":\"u\"}]}", "no output"},
      {"{\"messages\": [{\"role\":\"assistant\",\"content\":\"u\"}]}", "what does it answer"},
      {"{\"messages\": [{\"role\":\"users\",\"content\":\"u\"}]}", "unknown role \"users\" (did you mean user?)"},
      {"{\"messages\": [{\"role\":\"user\",\"content\":\"u\",\"name\":\"n\"}]}", "unknown key \"name\""},
      {"{\"input\": \"a\", \"messages\": []}", "one of the two forms"},
      {"{\"input\": \"a\", \"output\": \"b\", \"id\": []}", "\"id\" is neither"},
  };
  const TestFolder folder;
  for (const auto& [line, words] : cases) {
    const std::string path = folder.write("bad.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n" + line + "\n");
    const std::string message = user_error_of([&] { load_one(path); });
    EXPECT_NE(message.find(path + ":2"), std::string::npos) << line << "\n" << message;
    EXPECT_NE(message.find(words), std::string::npos) << line << "\n" << message;
  }
}

// What is wrong with a line is said, not the line.
TEST(Task, AMessageAboutALongLineIsShort) {
  const TestFolder folder;
  const std::string text(1'000'000, 'x');
  for (const std::string& line : {"{\"input\": \"" + text, "{\"" + text + "\": 1}",
                                  R"({"input": "a", "output": ")" + text + R"(", "choices": ["b"]})"}) {
    const std::string path = folder.write("long.jsonl", line + "\n");
    EXPECT_LT(user_error_of([&] { load_one(path); }).size(), 2000u) << line.substr(0, 40);
  }
}

TEST(Task, AStopIsHeardWhileExamplesAreRead) {
  const TestFolder folder;
  const std::string line = "{\"input\": \"a\", \"output\": \"b\"}\n";
  const std::string path = folder.write("t.jsonl", line + line + line);
  int heard = 0;
  const auto heed = [&] {
    if (++heard == 2) throw std::runtime_error("stop");
  };
  EXPECT_THROW(load_tasks({path}, 0, heed), std::runtime_error);
}

TEST(Task, BadFilesAndFolders) {
  const TestFolder folder;
  const auto error = [](std::vector<std::string> paths) { return user_error_of([&] { load_tasks(paths, 0); }); };
  EXPECT_NE(error({(folder.path / "none.jsonl").string()}).find("no such file"), std::string::npos);
  EXPECT_NE(error({folder.path.string()}).find("holds no task"), std::string::npos);
  const std::string empty = folder.write("empty.jsonl", "\n\n");
  EXPECT_NE(error({empty}).find("the task is empty"), std::string::npos);
  const std::string odd = folder.write("rows.csv", "a,b\n");
  EXPECT_NE(error({odd}).find("not a task file"), std::string::npos);
  const std::string example = "{\"input\": \"a\", \"output\": \"b\"}\n";
  std::filesystem::create_directories(folder.path / "other");
  const std::string one = folder.write("twice.jsonl", example), two = folder.write("other/twice.jsonl", example);
  const std::string both = error({one, two});
  EXPECT_NE(both.find("two tasks of the name twice"), std::string::npos);
  EXPECT_NE(both.find(one), std::string::npos);
  EXPECT_NE(both.find(two), std::string::npos);
  const std::string ids = folder.write("ids.jsonl",
                                       "{\"id\": 1, \"input\": \"a\", \"output\": \"b\"}\n"
                                       "{\"id\": \"1\", \"input\": \"c\", \"output\": \"d\"}\n");
  EXPECT_NE(error({ids}).find(ids + ":2: two examples of the id \"1\""), std::string::npos);
  const std::string bad_name = folder.write("a b.jsonl", example);
  EXPECT_NE(error({bad_name}).find("\"a b\""), std::string::npos);
}

TEST(Task, TrainingAsksForATrainSplit) {
  const TestFolder folder;
  const Task task = load_one(folder.write("t.jsonl", R"({"input": "a", "output": "b", "split": "test"})"));
  const std::string message = user_error_of([&] { require_train(task); });
  EXPECT_NE(message.find("task t has no train split"), std::string::npos);
}

TEST(Task, DealtByContentEightyTenTen) {
  const TestFolder folder;
  std::string forward, backward;
  for (int i = 0; i < 4000; ++i) {
    const std::string example = fmt::format("{{\"input\": \"row {}\", \"output\": \"o\"}}\n", i);
    forward += example;
    backward = example + backward;
  }
  forward += "{\"id\": \"again\", \"input\": \"row 5\", \"output\": \"o\"}\n";
  const Task a = load_one(folder.write("a.jsonl", forward)), b = load_one(folder.write("b.jsonl", backward));
  const auto inputs = [](const Task& task, size_t split) {
    std::set<std::string> found;
    for (const Example& example : task.splits[split]) found.insert(example.messages[0].content);
    return found;
  };
  for (size_t split = 0; split < 3; ++split) EXPECT_EQ(inputs(a, split), inputs(b, split));
  EXPECT_NEAR(static_cast<double>(inputs(a, 0).size()), 3200, 110);
  EXPECT_NEAR(static_cast<double>(inputs(a, 1).size()), 400, 80);
  EXPECT_NEAR(static_cast<double>(inputs(a, 2).size()), 400, 80);
  EXPECT_EQ(inputs(a, 0).size() + inputs(a, 1).size() + inputs(a, 2).size(), 4000u) << "equal examples, equal split";
}

TEST(Task, LimitKeepsTheFirstExamplesOfEachSplit) {
  const TestFolder folder;
  std::string lines;
  for (int i = 0; i < 9; ++i)
    lines += fmt::format("{{\"input\": \"{}\", \"output\": \"o\", \"split\": \"{}\"}}\n", i,
                         split_names[static_cast<size_t>(i % 3)]);
  const Task task = load_one(folder.write("t.jsonl", lines), 2);
  for (size_t split = 0; split < 3; ++split) {
    ASSERT_EQ(task.splits[split].size(), 2u);
    EXPECT_EQ(task.splits[split][1].id, fmt::format("{}", split + 4));
  }
}

TEST(Task, AboutFileAndItsMistakes) {
  const TestFolder folder;
  const std::string rows = folder.write("t.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n");
  folder.write("t.toml", "definition = \"Say b.\"\nprompt = \"{input}?\"\nmetric = \"nll\"\ncategory = \"c\"\n");
  const Task task = load_one(rows);
  EXPECT_EQ(task.definition, "Say b.");
  EXPECT_EQ(task.prompt, "{input}?");
  EXPECT_EQ(task.metric, "nll");
  EXPECT_EQ(task.category, "c");
  const std::map<std::string, std::string> cases = {
      {"metrik = \"nll\"\n", "t.toml:1:1: unknown key metrik (did you mean metric?)"},
      {"\nmetric = \"bleu\"\n", "t.toml:2:10: unknown metric \"bleu\""},
      {"definition = 3\n", "t.toml:1:14: definition is not a text"},
      {"definition = \"\n", "t.toml:1:"},
      {"files = []\n", "files is not a list"},
      {"files = [{path = \"a.jsonl\", weight = 0}]\n", "weight is not a number above 0"},
      {"files = [{path = \"a.jsonl\", weight = 1e6}]\n", "at most 1000"},
      {"files = [{path = \"a.jsonl\", wieght = 1}]\n", "did you mean weight?"},
      {"metric = \"accuracy\"\n", "t.jsonl:1: the metric of task t is accuracy"},
  };
  for (const auto& [toml, words] : cases) {
    folder.write("t.toml", toml);
    const std::string message = user_error_of([&] { load_one(rows); });
    EXPECT_NE(message.find(words), std::string::npos) << toml << message;
  }
}

TEST(Task, WeightsRepeatTrainingExamplesOnly) {
  const TestFolder folder;
  std::string lines;
  for (int i = 1; i <= 4; ++i)
    lines += fmt::format("{{\"input\": \"{}\", \"output\": \"o\", \"split\": \"train\"}}\n", i);
  lines += "{\"input\": \"5\", \"output\": \"o\", \"split\": \"test\"}\n";
  folder.write("half.jsonl", lines);
  folder.write("twice.jsonl", lines);
  folder.write("mix.toml", "files = [{path = \"half.jsonl\", weight = 0.5}, {path = \"twice.jsonl\", weight = 2}]\n");
  const std::vector<Task> tasks = load_tasks({folder.path.string()}, 0);
  ASSERT_EQ(tasks.size(), 1u) << "files that a task lists are no tasks of their own";
  std::vector<std::string> ids;
  for (const Example& example : tasks[0].examples(Split::train)) ids.push_back(example.id);
  EXPECT_EQ(ids, (std::vector<std::string>{"half:2", "half:4", "twice:1", "twice:1#2", "twice:2", "twice:2#2",
                                           "twice:3", "twice:3#2", "twice:4", "twice:4#2"}));
  EXPECT_EQ(tasks[0].examples(Split::test).size(), 2u);
  int64_t taken = 0;
  for (int64_t i = 0; i < 30; ++i) taken += times_taken(i, 1.0 / 3);
  EXPECT_EQ(taken, 10);
}

TEST(Task, OtherTomlFilesOfAFolderAreNoTasks) {
  const TestFolder folder;
  folder.write("t.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n");
  folder.write("run.toml", "[model]\npath = \"m\"\n");
  EXPECT_EQ(load_tasks({folder.path.string()}, 0).size(), 1u);
}

// The system takes it for no path; that is a mistake in the file and not one of the system.
TEST(Task, APathThatIsTooLongIsRefused) {
  const TestFolder folder;
  folder.write("a.jsonl", "{\"input\": \"a\", \"output\": \"b\"}\n");
  const std::string file = folder.write("a.toml", "files = [{ path = \"" + std::string(300, 'x') + "\" }]\n");
  for (const std::string& path : {file, folder.path.string()}) EXPECT_THROW(load_tasks({path}, 0), UserError) << path;
}

TEST(Task, Utf8) {
  EXPECT_TRUE(is_valid_utf8("a\xc3\xa9\xe2\x82\xac\xf0\x9f\xa6\x86"));
  for (const char* bad : {"\xc3", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\x80"})
    EXPECT_FALSE(is_valid_utf8(bad));
}

TEST(Task, SharedTasksLoad) {
  const auto folder = std::filesystem::path(GAGGLE_SOURCE_DIR) / "../shared/data/tasks/train";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << "no ../shared/data/tasks/train here";
  const auto tasks = load_tasks({folder.string()}, 0);
  EXPECT_GT(tasks.size(), 20u);
  for (const Task& task : tasks) EXPECT_NO_THROW(require_train(task)) << task.name;
}

}  // namespace
}  // namespace gaggle
