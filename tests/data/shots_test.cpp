// Solved examples before a question: which ones, how they are joined, and which are left out where there is no room.
#include "data/shots.h"

#include <algorithm>
#include <map>
#include <set>

#include "data/tokens.h"
#include "fixtures.h"

namespace gaggle {
namespace {

Example solved(const std::string& id, const std::string& input, const std::string& output) {
  return {.id = id, .messages = {{"user", input}}, .output = output, .choices = {}};
}

Task sums() {
  Task task;
  task.name = "sums";
  task.metric = "exact_match";
  for (int i = 0; i < 20; ++i) {
    const std::string n = std::to_string(i);
    task.splits[0].push_back(solved("a" + n, n + "+1", std::to_string(i + 1)));
    task.splits[2].push_back(solved("t" + n, n + "+2", std::to_string(i + 2)));
  }
  return task;
}

// What stands before each question, by what it asks.
std::map<std::string, std::vector<std::string>> shots_by_question(const Task& task) {
  std::map<std::string, std::vector<std::string>> shots;
  for (const Example& example : task.examples(Split::test))
    for (const size_t shot : example.shots)
      shots[example.messages[0].content].push_back(task.shot_pool[shot].messages[0].content);
  return shots;
}

TEST(Shots, AreOfTheQuestionAndNotOfAnyOrder) {
  Task task = sums();
  give_shots(task, {.count = 3, .seed = 7});
  const auto shots = shots_by_question(task);
  ASSERT_EQ(shots.size(), 20u);
  std::set<std::vector<std::string>> different;
  for (const auto& [question, before] : shots) {
    EXPECT_EQ(std::set<std::string>(before.begin(), before.end()).size(), 3u) << question;
    different.insert(before);
  }
  EXPECT_GT(different.size(), 15u);

  Task turned = sums();
  for (auto& split : turned.splits) std::ranges::reverse(split);
  for (auto& split : turned.splits)
    for (Example& example : split) example.id += "x";
  turned.splits[2].resize(5);
  give_shots(turned, {.count = 3, .seed = 7});
  for (const auto& [question, before] : shots_by_question(turned)) EXPECT_EQ(before, shots.at(question)) << question;

  give_shots(task, {.count = 3, .seed = 8});
  EXPECT_NE(shots_by_question(task), shots);
  task = sums();
  task.name = "others";
  give_shots(task, {.count = 3, .seed = 7});
  EXPECT_NE(shots_by_question(task), shots);
}

TEST(Shots, OfFewerAreTheFirstOfMore) {
  Task few = sums(), many = sums();
  give_shots(few, {.count = 2});
  give_shots(many, {.count = 5});
  for (auto [question, before] : shots_by_question(many)) {
    before.resize(2);
    EXPECT_EQ(before, shots_by_question(few).at(question));
  }
}

TEST(Shots, NeverHoldTheQuestionNorOneThingTwice) {
  Task task = sums();
  task.splits[0] = {solved("1", "0+2", "2"), solved("2", "5+1", "6"), solved("2#2", "5+1", "6"),
                    solved("3", "7+1", "8")};
  task.splits[2] = {solved("t", "0+2", "2")};
  give_shots(task, {.count = 2});
  auto before = shots_by_question(task).at("0+2");
  std::ranges::sort(before);
  EXPECT_EQ(before, (std::vector<std::string>{"5+1", "7+1"}));
  const std::string error = user_error_of([&] { give_shots(task, {.count = 3}); });
  EXPECT_EQ(error, "task sums, example t: eval.shots = 3, but split train has only 2 other examples");
  // From the split that is asked itself.
  task = sums();
  give_shots(task, {.count = 19, .from = Split::test});
  for (const auto& [question, all] : shots_by_question(task)) EXPECT_EQ(std::ranges::count(all, question), 0);
}

TokenizeOptions options_of(const std::string& prompt, int64_t limit = 0) {
  TokenizeOptions options;
  options.prompt = prompt;
  options.truncate = "left";
  options.max_input_tokens = limit;
  return options;
}

// One question behind the given shots.
Task asked(const std::vector<std::pair<std::string, std::string>>& shots, const std::string& question) {
  Task task;
  task.name = "t";
  task.metric = "exact_match";
  task.splits[2] = {solved("q", question, "z")};
  for (const auto& [input, output] : shots) {
    task.splits[2][0].shots.push_back(task.shot_pool.size());
    task.shot_pool.push_back(solved("", input, output));
  }
  return task;
}

TEST(Shots, OfATemplateAreItFilledWithTheAnswerAndAnEmptyLine) {
  ByteTokenizer tokenizer;
  tokenizer.prefix = {258};
  const Task task = asked({{"ab", "<s>"}, {"c", "d"}}, "e");
  auto ids = bytes_of("Q:ab\nA:<s>\n\nQ:c\nA:d\n\nQ:e\nA:");
  ids.insert(ids.begin(), 258);  // once, and no marker inside an answer
  EXPECT_EQ(tokenize_task(task, tokenizer, options_of("Q:{input}\nA:")).splits[2][0].input, ids);
}

TEST(Shots, OfAChatFormatAreEarlierTurns) {
  const std::vector<Message> question = {{"system", "s"}, {"user", "q"}};
  Example a = solved("", "a", "1"), b = solved("", "b", "2");
  a.messages.insert(a.messages.begin(), {"system", "other"});
  const std::vector<const Example*> shots = {&a, &b};
  std::string text;
  for (const auto& [role, content] : conversation_with(shots, question)) text += role + "=" + content + " ";
  EXPECT_EQ(text, "system=s user=a assistant=1 user=b assistant=2 user=q ");
  std::string shown;
  for (const TextPiece& piece : render_prompt(parse_prompt("chatml", ""), question, "", {}, "", shots))
    shown += piece.text;
  EXPECT_EQ(shown,
            "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n1<|im_end|>\n"
            "<|im_start|>user\nb<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n<|im_start|>user\nq<|im_end|>\n"
            "<|im_start|>assistant\n");
}

TEST(Shots, AreLeftOutWholeFromTheFrontWhereThereIsNoRoom) {
  const ByteTokenizer tokenizer;
  const Task task = asked({{"aaaaaaaa", "1"}, {"bb", "2"}, {"c", "3"}}, "question");
  const std::string two = "bb 2\n\nc 3\n\nquestion ", one = "c 3\n\nquestion ";
  const auto tokens = [&](int64_t limit) { return tokenize_task(task, tokenizer, options_of("{input} ", limit)); };
  EXPECT_EQ(tokens(0).shots_left_out, 0);
  for (const auto& [limit, text, left_out, cut] :
       std::vector<std::tuple<size_t, std::string, int64_t, bool>>{{two.size(), two, 1, false},
                                                                   {two.size() - 1, one, 2, false},
                                                                   {one.size(), one, 2, false},
                                                                   {one.size() - 1, "question ", 3, false},
                                                                   {5, "tion ", 3, true}}) {
    const TokenTask result = tokens(static_cast<int64_t>(limit));
    EXPECT_EQ(result.splits[2][0].input, bytes_of(text)) << limit;
    EXPECT_EQ(result.shots_left_out, left_out) << limit;
    EXPECT_EQ(result.splits[2][0].cut, cut) << limit;
  }
}

TEST(Shots, OfAnEncoderLeaveRoomForItsEnd) {
  ByteTokenizer tokenizer;
  tokenizer.suffix = {257};
  const Task task = asked({{"a", "1"}}, "q");
  auto options = options_of("{input} ", 8);  // "a 1", an empty line, "q ", and the end
  options.decoder_start = 3;
  EXPECT_EQ(tokenize_task(task, tokenizer, options).shots_left_out, 0);
  options.max_input_tokens = 7;
  const TokenTask without = tokenize_task(task, tokenizer, options);
  EXPECT_EQ(without.shots_left_out, 1);
  EXPECT_EQ(without.splits[2][0].source, (std::vector<int32_t>{'q', ' ', 257}));
}

TEST(Shots, AreInTheCachesKeyAndWhatWasLeftOutIsInItsFile) {
  const TestFolder folder;
  const ByteTokenizer tokenizer;
  auto options = options_of("{input} ", 8);
  options.cache = folder.path;
  const Task bare = asked({}, "q"), task = asked({{"a", "1"}, {"b", "2"}}, "q");
  const auto plain = tokenize_task(bare, tokenizer, options);
  for (int again = 0; again < 2; ++again) {
    const TokenTask result = tokenize_task(task, tokenizer, options);
    EXPECT_EQ(result.splits[2][0].input, bytes_of("b 2\n\nq "));
    EXPECT_EQ(result.shots_left_out, 1);
    EXPECT_NE(result.digest, plain.digest);
  }
}

}  // namespace
}  // namespace gaggle
