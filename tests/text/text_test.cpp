// The parts of tokenisers one by one, and what a user reads when a file cannot be used.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/byte_level.h"
#include "text/decoder.h"
#include "text/pre_tokenizer.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

namespace gaggle {
namespace {

namespace fs = std::filesystem;

class Folder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(testing::TempDir()) / (std::string("gaggle_text_") + test->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder_ / name) << text; }
  std::string message(const fs::path& path) const {
    try {
      load_tokenizer(path);
    } catch (const UserError& error) {
      return error.what();
    }
    return "no error";
  }
  // A tokenizer of the two letters a and b, with `extra` members beside the model.
  void write_tokenizer(const std::string& model, const std::string& extra) const {
    write("tokenizer.json", R"({"model": {"type": "BPE", )" + model + "}" + extra + "}");
  }
  void expect_message(const std::string& part) const {
    const std::string text = message(folder_);
    EXPECT_NE(text.find(part), std::string::npos) << text;
    EXPECT_NE(text.find(folder_.string()), std::string::npos) << text;
  }
  static constexpr char kModel[] = R"("vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"])";
  fs::path folder_;
};

TEST_F(Folder, SaysWhatIsMissing) {
  expect_message("looked for tokenizer.json, tokenizer.model and spiece.model");
  EXPECT_NE(message(folder_ / "nowhere").find("no such file or folder"), std::string::npos);
}

TEST_F(Folder, BrokenJsonHasLineAndColumn) {
  write("tokenizer.json", "{\n  \"model\": {,\n");
  expect_message("tokenizer.json:2:13: this is not JSON");
}

TEST_F(Folder, RefusesByName) {
  write("tokenizer.json", R"({"model": {"type": "WordPiece", "vocab": {}}})");
  expect_message("'WordPiece' is not supported");
  write_tokenizer(kModel, R"(, "normalizer": {"type": "Lowercase"})");
  expect_message("normalizer 'Lowercase' is not supported");
  write_tokenizer(kModel, R"(, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Punctuation"}]})");
  expect_message("pre_tokenizer 'Punctuation' is not supported");
  write_tokenizer(kModel, R"(, "decoder": {"type": "CTC"})");
  expect_message("decoder 'CTC' is not supported");
  write_tokenizer(kModel, R"(, "post_processor": {"type": "RobertaProcessing"})");
  expect_message("post_processor 'RobertaProcessing' is not supported");
  write_tokenizer(std::string(kModel) + R"(, "dropout": 0.1)", "");
  expect_message("model.dropout is not supported");
  write_tokenizer(kModel,
                  R"(, "pre_tokenizer": {"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "(a"}})");
  expect_message("the pattern '(a' cannot be read");
}

// A text must not grow without bound, whatever a tokenizer.json says.
TEST_F(Folder, RefusesWhatWouldGrowWithoutBound) {
  for (const char* replacement : {"", "ab"}) {
    const std::string metaspace = std::string(R"({"type": "Metaspace", "replacement": ")") + replacement + "\"}";
    write_tokenizer(kModel, R"(, "pre_tokenizer": )" + metaspace);
    expect_message("expected one character");
    write_tokenizer(kModel, R"(, "decoder": )" + metaspace);
    expect_message("expected one character");
  }
  std::string steps;
  for (int i = 0; i < 16; ++i)
    steps +=
        std::string(i > 0 ? "," : "") + R"({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"})";
  write_tokenizer(kModel, R"(, "normalizer": {"type": "Sequence", "normalizers": [)" + steps + "]}");
  const auto tokenizer = load_tokenizer(folder_);
  EXPECT_THROW(tokenizer->encode_plain("ab"), UserError);
  EXPECT_NO_THROW(tokenizer->encode_plain("b"));
}

TEST_F(Folder, RefusesPartsOfUnigramByName) {
  const auto write_unigram = [&](const std::string& members, const std::string& extra) {
    write("tokenizer.json",
          R"({"model": {"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1]])" + members + "}" + extra + "}");
  };
  const auto normalizer = [](const std::string& charsmap) {
    return R"(, "normalizer": {"type": "Precompiled", "precompiled_charsmap": ")" + charsmap + "\"}";
  };
  write_unigram(R"(, "unk_id": 0, "alpha": 0.1)", "");
  expect_message("model.alpha is not supported");
  write_unigram("", "");
  expect_message("model.unk_id is missing");
  write_unigram(R"(, "unk_id": 2)", "");
  expect_message("model.unk_id is 2");
  write_unigram(R"(, "unk_id": 0)", normalizer("AAAA?"));
  expect_message("normalizer Precompiled: this is not base64");
  for (const char* damaged : {"", "AAAA", "CAAAAAAAAAA="}) {
    write_unigram(R"(, "unk_id": 0)", normalizer(damaged));
    expect_message("are no trie with its replacements");
  }
  write_unigram(R"(, "unk_id": 0)", R"(, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "WhitespaceSplit"}, {"type": "Metaspace", "replacement": "_", "prepend_scheme": "first"}]})");
  expect_message("Metaspace with prepend_scheme first after another step");
}

TEST_F(Folder, RefusesWhatIsNotWellFormed) {
  write_tokenizer(R"("vocab": {"a": 0, "ab": 1}, "merges": ["a b"])", "");
  expect_message("model.merges uses 'b', which is not in model.vocab");
  write_tokenizer(R"("vocab": {"a": -1}, "merges": [])", "");
  expect_message("the token 'a' has the id -1");
  write_tokenizer(R"("vocab": {"a": "x"}, "merges": [])", "");
  expect_message("type must be number");
  write_tokenizer(R"("vocab": {"a": 1e300}, "merges": [])", "");
  expect_message("expected a whole number of 64 bits, not 1e+300");
  write_tokenizer(R"("vocab": {"a": 2097152}, "merges": [])", "");
  expect_message("the token 'a' has the id 2097152");
  for (const char* id : {"4294967296", "1.5"}) {
    write_tokenizer(kModel, std::string(R"(, "post_processor": {"type": "TemplateProcessing", "single": [
        {"SpecialToken": {"id": "a"}}], "special_tokens": {"a": {"ids": [)") +
                                id + "]}}}");
    expect_message(std::string("expected a whole number of 32 bits, not ") + id);
  }
  write_tokenizer(R"("vocab": {"a": 0}, "merges": [], "byte_fallback": "x")", "");
  expect_message("tokenizer.json: ");
  write("tokenizer.model", "not a model");
  fs::remove(folder_ / "tokenizer.json");
  expect_message("no SentencePiece model");
  write_tokenizer(kModel, "");
  write("tokenizer_config.json", R"({"eos_token": "<nope>"})");
  expect_message("eos_token is '<nope>', which the tokenizer does not have");
}

TEST_F(Folder, PlainTextKeepsMarkersAsText) {
  write_tokenizer(R"("vocab": {"<": 0, "|": 1, "a": 2, ">": 3}, "merges": [])",
                  R"(, "added_tokens": [{"id": 4, "content": "<|a|>", "special": false, "normalized": false},
                                        {"id": 5, "content": "aa", "special": false, "normalized": false},
                                        {"id": 6, "content": "aaa", "special": true, "normalized": false}])");
  const auto tokenizer = load_tokenizer(folder_);
  EXPECT_EQ(tokenizer->encode_markup("<|a|>"), std::vector<int32_t>{4});
  EXPECT_EQ(tokenizer->encode_plain("<|a|>"), (std::vector<int32_t>{0, 1, 2, 1, 3}));
  EXPECT_EQ(tokenizer->encode_markup("aaa"), std::vector<int32_t>{6});
  EXPECT_EQ(tokenizer->encode_plain("aaa"), (std::vector<int32_t>{5, 2}));
  // A token half in markup and half in plain text is text.
  const std::vector<TextPiece> halves = {{"<|a", true}, {"|>", false}};
  EXPECT_EQ(tokenizer->encode(halves), (std::vector<int32_t>{0, 1, 2, 1, 3}));
  EXPECT_EQ(tokenizer->size(), 7);
  EXPECT_EQ(tokenizer->id_of("<|a|>"), 4);
  EXPECT_EQ(tokenizer->token_of(99), "");
}

TEST(Bpe, LowestRankFirstThenLeftmost) {
  Bpe bpe;
  for (const char* token : {"a", "b", "c", "ab", "bc", "aa"})
    bpe.ids.emplace(token, static_cast<int32_t>(bpe.ids.size()));
  bpe.merges = {{Bpe::pair_key(1, 2), {0, 4}}, {Bpe::pair_key(0, 1), {1, 3}}, {Bpe::pair_key(0, 0), {2, 5}}};
  const auto tokens = [&](std::string_view word) {
    std::vector<int32_t> result;
    append_tokens(bpe, word, result);
    return result;
  };
  EXPECT_EQ(tokens("abc"), (std::vector<int32_t>{0, 4}));
  EXPECT_EQ(tokens("aaa"), (std::vector<int32_t>{5, 0}));
  EXPECT_EQ(tokens("aab"), (std::vector<int32_t>{0, 3}));
  EXPECT_EQ(tokens(""), std::vector<int32_t>{});
  EXPECT_EQ(tokens("axb"), std::vector<int32_t>{3});  // no unknown token: dropped before the merges
  bpe.unknown = 9;
  EXPECT_EQ(tokens("xxa"), (std::vector<int32_t>{9, 9, 0}));
  bpe.fuse_unknown = true;
  EXPECT_EQ(tokens("xxax"), (std::vector<int32_t>{9, 0, 9}));
}

TEST(Utf8, IllFormedPartsBecomeReplacements) {
  EXPECT_EQ(valid_utf8("a\xFF"
                       "b"),
            "a\uFFFDb");
  EXPECT_EQ(valid_utf8("\xE2\x82"), "\uFFFD");                  // one truncated character
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\uFFFD\uFFFD\uFFFD");  // a surrogate: three ill-formed parts
  EXPECT_EQ(valid_utf8("\xF0\x9F\x91\x8D"), "\U0001F44D");
}

TEST(ByteLevel, EveryByteThereAndBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  EXPECT_EQ(unspell_bytes(spell_bytes(bytes)), bytes);
  EXPECT_EQ(spell_bytes(" \n"), "ĠĊ");
}

TEST(Pattern, WhiteSpaceIsUnicodes) {
  EXPECT_EQ(Pattern(R"(\s)").replace("a\u00A0b\u180Ec\x0B"
                                     "d",
                                     "_"),
            "a_b\u180Ec_d");
  EXPECT_EQ(Pattern(R"([^\s])").replace("a\u0085b", "_"), "_\u0085_");
  EXPECT_THROW(Pattern(R"(\h)"), UserError);
  EXPECT_THROW(Pattern("(?m:a.b)"), UserError);
  EXPECT_THROW(Pattern("[a[b]]"), UserError);
}

std::vector<std::string> words(const PreTokenizerStep& step, std::string_view text) {
  const Words result = pre_tokenize({step}, text, true);
  return {result.words.begin(), result.words.end()};
}

TEST(PreTokenizer, SplitBehaviors) {
  using List = std::vector<std::string>;
  const auto split = [](SplitBehavior behavior, bool invert = false) {
    return words(SplitStep{Pattern("-"), behavior, invert}, "the-final--countdown");
  };
  EXPECT_EQ(split(SplitBehavior::removed), (List{"the", "final", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::isolated), (List{"the", "-", "final", "-", "-", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::merged_with_previous), (List{"the-", "final-", "-", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::merged_with_next), (List{"the", "-final", "-", "-countdown"}));
  EXPECT_EQ(split(SplitBehavior::contiguous), (List{"the", "-", "final", "--", "countdown"}));
  EXPECT_EQ(split(SplitBehavior::removed, true), (List{"-", "-", "-"}));
  EXPECT_EQ(words(MetaspaceStep{"▁"}, "a  b"), (List{"▁a", "▁", "▁b"}));
}

TEST(Decoder, BytesThatSpellNoCharacter) {
  EXPECT_EQ(decode_tokens({ByteFallbackDecoder{}}, {"a", "<0xE2>", "<0x82>", "<0xAC>", "<0xFF>x"}), "a€<0xFF>x");
  EXPECT_EQ(decode_tokens({ByteFallbackDecoder{}}, {"<0xE2>", "<0x82>", "b"}), "\uFFFD\uFFFDb");
  EXPECT_EQ(decode_tokens({FuseDecoder{}, StripDecoder{U' ', 1, 0}}, {"  a", " b"}), " a b");
}

}  // namespace
}  // namespace gaggle
