// Examples as ids: the prefix, the end token, cutting, choices, and a cache that never changes an id.
#include "data/tokens.h"

#include "base/file.h"
#include "fixtures.h"

namespace gaggle {
namespace {

Example example(const std::string& input, const std::string& output, std::vector<std::string> choices = {}) {
  return {.id = "r", .messages = {{"user", input}}, .output = output, .choices = std::move(choices)};
}

Task task_of(std::vector<Example> examples) {
  Task task;
  task.name = "t";
  task.metric = "exact_match";
  task.splits[0] = std::move(examples);
  return task;
}

TokenizeOptions options() {
  TokenizeOptions result;
  result.prompt = "{input}\n";
  result.truncate = "left";
  return result;
}

TokenExample one(const Example& r, const Tokenizer& tokenizer, const TokenizeOptions& opts) {
  return tokenize_task(task_of({r}), tokenizer, opts).splits[0].at(0);
}

std::vector<int32_t> joined(std::vector<int32_t> a, const std::vector<int32_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Tokens, PrefixPromptOutputEnd) {
  ByteTokenizer tokenizer;
  tokenizer.prefix = {258};
  TokenExample ids = one(example("ab", "cd"), tokenizer, options());
  EXPECT_EQ(ids.input, joined({258}, bytes_of("ab\n")));
  EXPECT_EQ(ids.target, joined(bytes_of("cd"), {257}));
  EXPECT_FALSE(ids.cut);
  // A template that writes BOS itself is not given a second one; BOS in the example's text is text.
  auto opts = options();
  opts.prompt = "<s>{input}";
  EXPECT_EQ(one(example("<s>", "x"), tokenizer, opts).input, joined({258}, bytes_of("<s>")));
}

TEST(Tokens, AnEncoderReadsThePromptAndItsEnd) {
  ByteTokenizer tokenizer;
  tokenizer.suffix = {257};
  auto opts = options();
  opts.decoder_start = 3;
  opts.truncate = "right";
  TokenExample ids = one(example("ab", "cd", {"cd", "e"}), tokenizer, opts);
  EXPECT_EQ(ids.source, joined(bytes_of("ab\n"), {257}));
  EXPECT_EQ(ids.input, std::vector<int32_t>{3});
  EXPECT_EQ(ids.target, joined(bytes_of("cd"), {257}));
  EXPECT_EQ(ids.choices[1], joined(bytes_of("e"), {257}));
  opts.max_input_tokens = 3;
  ids = one(example("abcdef", "x"), tokenizer, opts);
  EXPECT_EQ(ids.source, joined(bytes_of("ab"), {257})) << "the end stays";
  EXPECT_TRUE(ids.cut);
  opts.truncate = "left";
  EXPECT_EQ(one(example("abcdef", "x"), tokenizer, opts).source, joined(bytes_of("f\n"), {257}));
  opts.max_input_tokens = 1;
  EXPECT_NE(user_error_of([&] { one(example("a", "x"), tokenizer, opts); }).find("data.max_input_tokens = 1"),
            std::string::npos);
  // Another start token is another task to learn; without an encoder nothing changes by it.
  opts.max_input_tokens = 0;
  const auto digest = [&] { return tokenize_task(task_of({example("ab", "cd")}), tokenizer, opts).digest; };
  const std::string at_three = digest();
  opts.decoder_start = 4;
  EXPECT_NE(digest(), at_three);
}

TEST(Tokens, EndToken) {
  ByteTokenizer tokenizer;
  const auto error = [&](const std::string& end) { return user_error_of([&] { end_token(tokenizer, end); }); };
  EXPECT_EQ(end_token(tokenizer, ""), 257);
  EXPECT_EQ(end_token(tokenizer, "id:1"), 1);
  EXPECT_EQ(end_token(tokenizer, "<s>"), 258);
  EXPECT_NE(error("id:259").find("N from 0 to 258"), std::string::npos);
  EXPECT_NE(error("id:x"), "");
  EXPECT_NE(error("<nope>").find("no token \"<nope>\""), std::string::npos);
  tokenizer.eos.reset();
  EXPECT_NE(error("").find("data.end"), std::string::npos);
}

TEST(Tokens, CutsByTheStatedRuleAndCounts) {
  ByteTokenizer tokenizer;
  tokenizer.prefix = {258};
  auto opts = options();
  opts.max_input_tokens = 4;
  opts.max_target_tokens = 3;
  TokenExample left = one(example("abcdef", "uvwx"), tokenizer, opts);
  EXPECT_EQ(left.input, joined({258}, bytes_of("ef\n")));
  EXPECT_EQ(left.target, joined(bytes_of("uv"), {257}));
  EXPECT_TRUE(left.cut);
  opts.truncate = "right";
  EXPECT_EQ(one(example("abcdef", "u"), tokenizer, opts).input, joined({258}, bytes_of("abc")));
  EXPECT_FALSE(one(example("ab", "uv"), tokenizer, opts).cut) << "exactly at both limits";
  EXPECT_EQ(tokenize_task(task_of({example("abcdef", "u"), example("a", "uvwx"), example("a", "u")}), tokenizer, opts)
                .examples_cut,
            2);
  opts.max_input_tokens = 1;
  EXPECT_NE(user_error_of([&] { one(example("ab", "c"), tokenizer, opts); }).find("max_input_tokens = 1"),
            std::string::npos);
}

TEST(Tokens, ChoicesAndAnswer) {
  ByteTokenizer tokenizer;
  auto opts = options();
  const TokenExample ids = one(example("q", "no", {"yes", "no"}), tokenizer, opts);
  EXPECT_EQ(ids.answer, 1);
  ASSERT_EQ(ids.choices.size(), 2u);
  EXPECT_EQ(ids.choices[0], joined(bytes_of("yes"), {257}));
  EXPECT_EQ(ids.choices[1], ids.target);
  opts.max_target_tokens = 3;
  const auto same = user_error_of([&] { one(example("q", "aab", {"aab", "aac"}), tokenizer, opts); });
  EXPECT_NE(same.find("has the same tokens"), std::string::npos);
}

TEST(Tokens, ChatFormatsWriteTheirOwnBos) {
  ByteTokenizer tokenizer;
  tokenizer.prefix = {258};
  auto opts = options();
  opts.prompt = "mistral";
  EXPECT_EQ(one(example("hi", "x"), tokenizer, opts).input, joined({258}, bytes_of(" [INST] hi [/INST]")));
  opts.max_input_tokens = 9;
  EXPECT_EQ(one(example("hi", "x"), tokenizer, opts).input, joined({258}, bytes_of(" [/INST]"))) << "BOS stays";
  opts = options();
  opts.prompt = "chatml";
  EXPECT_EQ(one(example("hi", "x"), tokenizer, opts).input[0], 256) << "ChatML has no BOS";
}

TEST(Tokens, AFormatWhoseMarkersAreNoTokensIsRefused) {
  auto opts = options();
  opts.prompt = "llama3";
  const auto refused = user_error_of([&] { one(example("hi", "x"), ByteTokenizer(), opts); });
  EXPECT_NE(refused.find("data.prompt: the llama3 format writes <|start_header_id|>"), std::string::npos) << refused;
}

TEST(Tokens, ATokenBeyondTheModelsVocabularyIsRefusedAlsoFromTheCache) {
  const TestFolder folder;
  auto opts = options();
  opts.cache = folder.path;
  for (const int64_t vocab : {0, 258}) {
    opts.vocab = vocab;
    EXPECT_EQ(one(example("hi", "x"), ByteTokenizer(), opts).target, joined(bytes_of("x"), {257}));
  }
  opts.vocab = 257;
  for (const char* cache : {folder.path.c_str(), ""}) {
    opts.cache = cache;
    const auto refused = user_error_of([&] { one(example("hi", "x"), ByteTokenizer(), opts); });
    EXPECT_NE(refused.find("task t, example r: token 257 (\"<|im_end|>\") is beyond the model's vocabulary of 257"),
              std::string::npos)
        << refused;
  }
}

TEST(Tokens, AnEmptyPromptIsRefused) {
  auto opts = options();
  opts.prompt = "{input}";
  EXPECT_NE(user_error_of([&] { one(example("", "x"), ByteTokenizer(), opts); }).find("the prompt has no token"),
            std::string::npos);
}

bool equal(const TokenTask& a, const TokenTask& b) {
  if (a.name != b.name || a.metric != b.metric || a.examples_cut != b.examples_cut || a.end_id != b.end_id ||
      a.digest != b.digest)
    return false;
  for (size_t s = 0; s < 3; ++s) {
    if (a.splits[s].size() != b.splits[s].size()) return false;
    for (size_t i = 0; i < a.splits[s].size(); ++i) {
      const TokenExample &x = a.splits[s][i], &y = b.splits[s][i];
      if (std::tie(x.id, x.input, x.target, x.choices, x.answer, x.cut) !=
          std::tie(y.id, y.input, y.target, y.choices, y.answer, y.cut))
        return false;
    }
  }
  return true;
}

TEST(Tokens, CacheGivesTheSameIdsAndSurvivesDamage) {
  const TestFolder folder;
  const ByteTokenizer tokenizer;
  Task task = task_of({example("a long question", "yes", {"yes", "no"}), example("b", "c")});
  task.splits[2] = {example("d", "e")};
  auto opts = options();
  opts.max_input_tokens = 5;
  const TokenTask fresh = tokenize_task(task, tokenizer, opts);
  opts.cache = folder.path;
  EXPECT_TRUE(equal(tokenize_task(task, tokenizer, opts), fresh));
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path))
    if (entry.is_regular_file()) files.push_back(entry.path());
  ASSERT_EQ(files.size(), 1u);
  const std::string good = read_file(files[0]);
  EXPECT_TRUE(equal(tokenize_task(task, tokenizer, opts), fresh)) << "read back";
  std::string flipped = good, longer = good + "x";
  flipped[flipped.size() / 2] = static_cast<char>(flipped[flipped.size() / 2] ^ 1);
  for (const std::string& bad : {std::string(), good.substr(0, good.size() / 2), flipped, longer}) {
    std::ofstream(files[0], std::ios::binary | std::ios::trunc) << bad;
    EXPECT_TRUE(equal(tokenize_task(task, tokenizer, opts), fresh));
    EXPECT_EQ(read_file(files[0]), good) << "written anew";
  }
  // Whatever decides the ids must lead to another file.
  const auto file_count = [&] {
    size_t n = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder.path)) n += entry.is_regular_file();
    return n;
  };
  ByteTokenizer other;
  other.digest = "other";
  tokenize_task(task, other, opts);
  EXPECT_EQ(file_count(), 2u);
  opts.end = "id:1";
  tokenize_task(task, tokenizer, opts);
  EXPECT_EQ(file_count(), 3u);
  opts.truncate = "right";
  tokenize_task(task, tokenizer, opts);
  EXPECT_EQ(file_count(), 4u);
  task.splits[2][0].output = "f";
  tokenize_task(task, tokenizer, opts);
  EXPECT_EQ(file_count(), 5u);
}

TEST(Tokens, AForeignChatFormatIsToldFromTheCacheToo) {
  const TestFolder folder;
  ByteTokenizer tokenizer;
  tokenizer.chat_template = "<start_of_turn>";
  auto opts = options();
  EXPECT_EQ(tokenize_task(task_of({example("a", "b")}), tokenizer, opts).foreign_format, "");
  opts.prompt = "mistral";
  opts.cache = folder.path;
  for (int again = 0; again < 2; ++again)
    EXPECT_EQ(tokenize_task(task_of({example("a", "b")}), tokenizer, opts).foreign_format,
              "data.prompt = \"mistral\" is not the model's own chat_template, which is Gemma's");
}

TEST(Tokens, AnUnwritableCacheIsAWarningOnly) {
  const TestFolder folder;
  auto opts = options();
  opts.cache = folder.write("file", "not a folder");
  EXPECT_NO_THROW(one(example("a", "b"), ByteTokenizer(), opts));
}

TEST(Tokens, DigestFollowsWhatIsLearnt) {
  const ByteTokenizer tokenizer;
  const auto digest = [&](std::vector<Example> examples, const TokenizeOptions& opts) {
    return tokenize_task(task_of(std::move(examples)), tokenizer, opts).digest;
  };
  const std::string first = digest({example("a", "b"), example("c", "d")}, options());
  EXPECT_EQ(digest({example("a", "b"), example("c", "d")}, options()), first);
  EXPECT_NE(digest({example("c", "d"), example("a", "b")}, options()), first) << "order of examples";
  EXPECT_NE(digest({example("a", "bc"), example("", "d")}, options()), first);
  auto opts = options();
  opts.prompt = "{input}:";
  EXPECT_NE(digest({example("a", "b"), example("c", "d")}, opts), first);
  opts = options();
  opts.max_input_tokens = 100;
  EXPECT_EQ(digest({example("a", "b"), example("c", "d")}, opts), first) << "a limit that cuts nothing changes nothing";
}

}  // namespace
}  // namespace gaggle
