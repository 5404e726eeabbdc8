// Methods, items and their keys, result files, and what the summary makes of them; the base is a stand-in.
#include "eval/items.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "../model/no_checkpoint.h"
#include "base/error.h"
#include "base/file.h"
#include "eval/kept_adapters.h"
#include "eval/summary.h"

namespace gaggle {
namespace {

struct FakeBase : BaseModel {
  FakeBase()
      : BaseModel(NoCheckpoint(), {{0, "s", "s", 0, 4, 4}, {1, "t", "t", 0, 4, 4}}, at::kFloat, at::kCPU,
                  BaseUse::inference, Storage::dtype) {
    content_digest_ = "base";
  }
  at::Tensor forward(const Microbatch&, SiteAdapter*, KeyValueCache*) override { return {}; }
  at::Tensor forward_backward(const Microbatch&, SiteAdapter&, const LossOptions&, const BaseDropout&) override {
    return {};
  }
};

struct FakeTokenizer : Tokenizer {
  std::vector<int32_t> encode(std::span<const TextPiece>) const override { return {}; }
  std::string decode(std::span<const int32_t>) const override { return ""; }
  std::optional<int32_t> id_of(std::string_view) const override { return {}; }
  std::string token_of(int32_t) const override { return ""; }
  int32_t size() const override { return 0; }
};

class Items : public ::testing::Test {
 protected:
  Items() {
    collection_.names = {"tomi", "sarcasm", "bare"};
    for (int s = 0; s < 2; ++s) {
      std::vector<LowRank> pairs(3);
      for (size_t z = 0; z < 3; ++z)
        if (s == 0 || z != 1) pairs[z] = {at::ones({2, 4}), at::ones({4, 2}), 1, {}};
      collection_.sites.push_back(stack_experts(std::move(pairs)));
      collection_.gates.push_back({at::ones({4}), at::ones({4}), at::Tensor()});
    }
    for (const char* name : {"sarcasm", "tomi", "unseen"}) {
      TokenTask task;
      task.name = name;
      task.metric = "accuracy";
      task.end_id = 0;
      task.splits[2] = {{"1", {}, {5, 6}, {7, 0}, {{7, 0}, {8, 0}}, 0, false},
                        {"2", {}, {5}, {8, 0}, {{7, 0}, {8, 0}}, 1, false}};
      tasks_.push_back(task);
    }
    folder_ = fs::path(testing::TempDir()) / "gaggle_items_test";
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "items");
  }

  EvalContext context() { return {config_.eval, 0, 2048, base_, collection_, tokenizer_, tasks_, Split::test, pins_}; }
  std::vector<Method> methods(std::vector<std::string> names) {
    config_.eval.methods = std::move(names);
    return read_methods(config_, collection_, inventories_);
  }
  // An inventory that was trained on tomi and unseen, under these names of methods.
  void add_inventory(const std::vector<std::string>& names, const std::string& digest = "digest") {
    auto inventory = std::make_shared<Inventory>();
    inventory->name = "mhr";
    inventory->version = "v0001";
    inventory->tasks = inventory->pretrained_on = {"tomi", "unseen"};
    inventory->digest = digest;
    for (const std::string& name : names) inventories_[name] = inventory;
  }
  std::vector<EvalItem> items(std::vector<std::string> names) {
    return make_items(context(), methods(std::move(names)));
  }
  std::set<std::string> keys(std::vector<std::string> names) {
    std::set<std::string> all;
    for (const EvalItem& item : items(std::move(names))) all.insert(item.key);
    return all;
  }
  // A result with these target NLLs (2 tokens each) and verdicts, or scores from 0 to 1.
  template <class Verdict = bool>
  void finish(const std::vector<EvalItem>& items, const std::string& method, size_t task, std::vector<double> nll,
              const std::vector<Verdict>& scores) {
    ItemResult result;
    for (size_t i = 0; i < nll.size(); ++i) {
      ExampleResult& example = result.examples.emplace_back();
      example.id = std::to_string(i + 1);
      example.scores = {{9, 2}, {nll[i], 2}};
      example.choices = {"no", "yes"};
      example.target = 1;
      example.target_text = "yes";
      example.choice_scores = {4.5, nll[i] / 2};
      example.prediction = scores[i] == 1 ? "yes" : "no";
      example.predicted = true;
      example.score = scores[i];
    }
    if (method == "phatgoose") result.weight_by_expert = {3, 1, 0};
    const auto found = items_of(items, method, task);
    ASSERT_EQ(found.size(), 1u) << method;
    write_file_atomic(result_path(folder_, found[0]->key), result_json(context(), *found[0], result));
  }

  Config config_;
  FakeBase base_;
  FakeTokenizer tokenizer_;
  RoutedCollection collection_;
  Inventories inventories_;
  std::vector<TokenTask> tasks_;
  std::string pins_ = "tomi@v0001";
  fs::path folder_;
};

// What one task alone asks for goes first, then the largest.
TEST_F(Items, AdaptersAreKeptWhileThereIsRoom) {
  const std::vector<Method> methods =
      this->methods({"phatgoose", "arrow", "merged", "phatgoose leave_out=own", "experts"});
  const EvalContext context = this->context();
  const Method &phatgoose = methods[0], &arrow = methods[1], &merged = methods[2], &masked = methods[3];
  const uint64_t small = own_bytes(phatgoose, context), large = own_bytes(merged, context);
  EXPECT_EQ(small, 3 * (4 + 4) * 6);
  EXPECT_EQ(large, small + bytes_of(collection_));
  EXPECT_EQ(own_bytes(methods[4], context), 0);
  const ScoredTask tomi{"tomi", ""}, unseen{"unseen", ""};
  KeptAdapters kept(context, large + 2 * small);
  const RoutedAdapter* first = kept.of(phatgoose, tomi);
  kept.of(masked, tomi);
  const RoutedAdapter* mean = kept.of(merged, tomi);
  EXPECT_EQ(kept.of(phatgoose, unseen), first);
  EXPECT_EQ(kept.of(merged, unseen), mean);
  kept.of(arrow, unseen);  // takes the place of tomi's own
  EXPECT_EQ(kept.of(phatgoose, tomi), first);
  EXPECT_EQ(kept.of(merged, tomi), mean);
  const RoutedAdapter* second = kept.of(masked, unseen);  // takes the place of the largest
  EXPECT_EQ(kept.of(phatgoose, tomi), first);
  EXPECT_EQ(kept.of(masked, unseen), second);
  KeptAdapters none(context, 0);
  EXPECT_NE(none.of(phatgoose, tomi), nullptr);  // the one in use
}

TEST_F(Items, experts_is_every_expert_once) {
  std::vector<std::string> names;
  for (const Method& method : methods({"none", "expert:bare", "experts", "oracle"})) names.push_back(method.name);
  const std::vector<std::string> expected = {"none", "expert:bare", "expert:tomi", "expert:sarcasm", "oracle"};
  EXPECT_EQ(names, expected);
}

TEST_F(Items, unknown_methods_and_experts_are_named_with_the_nearest) {
  const auto message = [&](const std::string& name) -> std::string {
    try {
      methods({name});
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("phatgose").find("did you mean phatgoose?"), std::string::npos);
  EXPECT_NE(message("expert:tomy").find("did you mean tomi?"), std::string::npos);
}

TEST_F(Items, phatgoose_names_ungated_experts_and_refuses_when_none_has_gates) {
  const auto notes = notes_on(methods({"phatgoose", "merged", "arrow"}), collection_, {});
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_NE(notes[0].find("without bare"), std::string::npos);
  EXPECT_NE(notes[1].find("sarcasm"), std::string::npos);
  collection_.gates.assign(2, std::vector<at::Tensor>(3));
  EXPECT_THROW(methods({"phatgoose"}), UserError);
}

TEST_F(Items, oracle_needs_its_own_expert_or_all_of_them) {
  std::multiset<std::string> needed;
  for (const EvalItem& item : items({"oracle", "expert:tomi"}))
    needed.insert(item.method.name + " on " + tasks_[item.task].name);
  const std::multiset<std::string> expected = {"expert:sarcasm on sarcasm", "expert:tomi on sarcasm",
                                               "expert:tomi on tomi",       "expert:tomi on unseen",
                                               "expert:sarcasm on unseen",  "expert:bare on unseen"};
  EXPECT_EQ(needed, expected);
}

TEST_F(Items, keys_change_with_what_changes_results_and_with_nothing_else) {
  const auto before = keys({"phatgoose", "none"});
  EXPECT_EQ(before.size(), 6u);
  config_.run.name = "other";
  config_.train.tokens_per_microbatch = 17;
  EXPECT_EQ(keys({"phatgoose", "none"}), before);
  const auto none = keys({"none"});
  pins_ = "tomi@v0002";
  EXPECT_EQ(keys({"none"}), none);  // the base alone does not depend on the collection
  EXPECT_NE(keys({"phatgoose", "none"}), before);
  pins_ = "tomi@v0001";
  config_.eval.top_k = 1;
  EXPECT_NE(keys({"phatgoose"}), keys({"none"}));
  EXPECT_NE(keys({"phatgoose", "none"}), before);
  config_.eval.top_k = 2;
  tasks_[0].splits[2][0].choices[1][0] = 9;
  EXPECT_NE(keys({"phatgoose", "none"}), before);
}

TEST_F(Items, keys_of_generated_answers_change_with_what_generates_them) {
  const auto scored = keys({"none"});
  config_.eval.max_new_tokens = 7, config_.eval.beams = 4, config_.eval.length_penalty = 2;
  EXPECT_EQ(keys({"none"}), scored);  // nothing is generated
  for (TokenTask& task : tasks_) task.metric = "exact_match";
  config_.eval = {};
  std::set<std::string> all = keys({"none"});
  config_.eval.max_new_tokens = 7;
  all.merge(keys({"none"}));
  config_.eval.beams = 4;
  all.merge(keys({"none"}));
  config_.eval.length_penalty = 2;
  all.merge(keys({"none"}));
  EXPECT_EQ(all.size(), 12u);
}

TEST_F(Items, keys_change_with_rules_of_scoring_where_these_say_something) {
  const auto by_tokens = keys({"none"});
  std::set<std::string> all = by_tokens;
  for (const char* normalise : {"none", "characters", "prior"}) {
    config_.eval.normalise = normalise;
    all.merge(keys({"none"}));
  }
  EXPECT_EQ(all.size(), 12u);
  config_.eval.normalise = "characters";
  const auto before = keys({"none"});
  for (auto& example : tasks_[0].splits[2]) example.choice_characters = {1, 2};
  EXPECT_NE(keys({"none"}), before);
  config_.eval.stem = true;
  EXPECT_NE(keys({"none"}), before);
  for (auto& example : tasks_[0].splits[2]) example.choice_characters = {};
  EXPECT_EQ(keys({"none"}), before);  // no text is generated

  for (TokenTask& task : tasks_) task.metric = "rouge_l";
  const auto stemmed = keys({"none"});
  config_.eval.stem = false;
  const auto plain = keys({"none"});
  EXPECT_NE(plain, stemmed);
  config_.eval.normalise = "tokens";
  EXPECT_EQ(keys({"none"}), plain);  // nothing is ranked
  for (TokenTask& task : tasks_) task.metric = "f1";
  const auto f1 = keys({"none"});
  EXPECT_NE(f1, plain);
  config_.eval.stem = true;
  EXPECT_EQ(keys({"none"}), f1);
}

TEST_F(Items, poly_has_items_for_the_tasks_it_has_routing_rows_of_and_the_average_for_all) {
  add_inventory({"poly", "mu"});
  std::multiset<std::string> needed;
  for (const EvalItem& item : items({"poly", "mu"})) needed.insert(item.method.name + " on " + tasks_[item.task].name);
  const std::multiset<std::string> expected = {"poly on tomi", "poly on unseen", "mu on sarcasm", "mu on tomi",
                                               "mu on unseen"};
  EXPECT_EQ(needed, expected);
  const auto notes = notes_on(methods({"mu", "poly"}), collection_, {{"tomi", ""}, {"sarcasm", ""}});
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_NE(notes[0].find("poly leaves out sarcasm"), std::string::npos);
}

TEST_F(Items, two_names_of_one_inventory_are_one_method) {
  add_inventory({"mu", "mu:mhr", "poly"});
  EXPECT_EQ(methods({"mu", "mu:mhr", "poly"}).size(), 2u);
  add_inventory({"mu:other"}, "other");
  EXPECT_EQ(methods({"mu", "mu:other"}).size(), 2u);
}

TEST_F(Items, keys_of_an_inventories_methods_change_with_its_files_and_not_with_the_collection) {
  add_inventory({"poly", "mu"});
  const auto before = keys({"poly", "mu"}), of_experts = keys({"phatgoose", "none"});
  EXPECT_EQ(before.size(), 5u);  // the kinds differ
  pins_ = "tomi@v0002";
  config_.eval.top_k = 1;
  EXPECT_EQ(keys({"poly", "mu"}), before);
  pins_ = "tomi@v0001";
  config_.eval.top_k = 2;
  add_inventory({"poly", "mu"}, "other");
  for (const std::string& key : keys({"poly", "mu"})) EXPECT_FALSE(before.contains(key));
  EXPECT_EQ(keys({"phatgoose", "none"}), of_experts);
}

TEST_F(Items, keys_are_those_of_earlier_versions) {
  const auto none = items({"none"}), routed = items({"phatgoose"}), single = items({"expert:tomi"});
  EXPECT_EQ(none[0].key, "d22fde8accb3b765da4a8ae51128cbee507d1b1a665dfd61a801fc222d2a1148");
  EXPECT_EQ(routed[0].key, "66cc3433e918b4d9c148e65339547398bd85c31242ccd011db1c2ebef38a68c4");
  EXPECT_EQ(single[0].key, "2e7babc385242f9feb4971fc771d7a8c60582a4e403e02844b26f3f9e8ef4665");
}

TEST_F(Items, a_collection_is_needed_by_methods_of_experts_alone) {
  EvalConfig eval;
  eval.methods = {"none", "poly", "mu:mhr", "shared", "z:row"};
  EXPECT_FALSE(needs_collection(eval));
  for (const char* name : {"merged", "experts", "expert:tomi", "oracle", "phatgoose", "arrow"}) {
    eval.methods = {"none", "mu", name};
    EXPECT_TRUE(needs_collection(eval)) << name;
  }
}

TEST_F(Items, a_prompt_is_answered_by_a_method_that_needs_no_task) {
  const auto answers = [](std::vector<std::string> names) {
    EvalConfig eval;
    eval.methods = std::move(names);
    return prompt_method(eval);
  };
  EXPECT_EQ(answers({"none", "poly", "mu", "phatgoose"}), "mu");
  EXPECT_EQ(answers({"poly", "z:row"}), "z:row");
  EXPECT_EQ(answers({"merged", "arrow"}), "arrow");
  EXPECT_EQ(answers({"none", "merged", "poly"}), "merged");
  EXPECT_EQ(answers({"merged", "expert:tomi"}), "merged");
  EXPECT_EQ(answers({"experts", "expert:tomi"}), "expert:tomi");
  EXPECT_EQ(answers({"none"}), "none");
  EXPECT_EQ(answers({"oracle", "experts"}), "");
  EXPECT_EQ(answers({"none", "poly:mhr"}), "");
}

TEST_F(Items, tasks_of_an_inventory_are_held_in_and_the_oracle_stays_what_it_was) {
  add_inventory({"mu"});
  const auto chosen = methods({"mu", "oracle"});
  const auto all = make_items(context(), chosen);
  for (size_t task = 0; task < 3; ++task) finish(all, "mu", task, {3, 3}, {true, true});
  finish(all, "expert:sarcasm", 0, {1, 1}, {true, true});
  finish(all, "expert:tomi", 1, {2, 2}, {true, false});
  for (const char* expert : {"expert:tomi", "expert:sarcasm", "expert:bare"})
    finish(all, expert, 2, {6, 6}, {false, expert == std::string("expert:bare")});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_EQ(summary.held_in, std::vector<bool>(3, true));
  EXPECT_EQ(summary.oracle_expert[1], (std::vector<std::string>{"sarcasm", "tomi", "bare"}));
  const std::string text = summary_page(summary).text();
  EXPECT_EQ(text.find("held-out"), std::string::npos) << text;
  EXPECT_NE(text.find("oracle*"), std::string::npos) << text;  // bare was chosen on unseen's own examples
  EXPECT_NE(text.find("(unseen: bare)"), std::string::npos) << text;
  EXPECT_EQ(nlohmann::json::parse(summary_json(summary))["methods"]["mu"]["inventory"], "mhr@v0001");
}

TEST_F(Items, a_task_without_a_routing_row_shows_a_dash_and_leaves_no_mean) {
  add_inventory({"poly"});
  const auto chosen = methods({"none", "poly"});
  const auto all = make_items(context(), chosen);
  for (size_t task = 0; task < 3; ++task) finish(all, "none", task, {3, 3}, {true, true});
  for (size_t task = 1; task < 3; ++task) finish(all, "poly", task, {1, 1}, {true, true});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_TRUE(summary.missing.empty());
  EXPECT_EQ(summary.scores[1][0].nll.rows, 0);
  EXPECT_TRUE(std::isnan(mixed(summary, 1, true).nll_per_token()));
  EXPECT_DOUBLE_EQ(summary.scores[1][1].nll_per_token(), 0.5);
}

TEST_F(Items, long_tasks_are_cut_into_items_that_cover_every_example_once) {
  tasks_.resize(1);
  tasks_[0].splits[2].assign(2345, tasks_[0].splits[2][0]);
  size_t next = 0;
  for (const EvalItem& item : items({"none"})) {
    EXPECT_EQ(item.first, next);
    next = item.last;
  }
  EXPECT_EQ(next, 2345u);
  EXPECT_EQ(items({"none"}).size(), 3u);
}

TEST_F(Items, result_files_come_back_as_they_went) {
  const auto all = items({"none"});
  ItemResult result;
  ExampleResult& example = result.examples.emplace_back();
  example.id = "a";
  example.scores = {{0.1 + 0.2, 3}, {std::nan(""), 1}};
  example.choices = {"x", "y\n"};
  example.target = 1;
  example.target_text = "y\n";
  example.prediction = "\xE2\x82";  // half a character
  example.predicted = true;
  write_file_atomic(result_path(folder_, all[0].key), result_json(context(), all[0], result));
  const ItemResult back = read_result(result_path(folder_, all[0].key));
  ASSERT_EQ(back.examples.size(), 1u);
  EXPECT_EQ(back.examples[0].scores[0].nll, 0.1 + 0.2);
  EXPECT_TRUE(std::isnan(back.examples[0].scores[1].nll));
  EXPECT_EQ(back.examples[0].choices, example.choices);
  EXPECT_EQ(back.examples[0].target, 1u);
  EXPECT_TRUE(back.examples[0].predicted);
  EXPECT_EQ(back.examples[0].score, 0);
}

TEST_F(Items, choice_scores_and_shares_come_back_from_result_files) {
  const auto all = items({"none"});
  ItemResult result;
  for (const double score : {0.25, 1.0 / 3}) {
    ExampleResult& example = result.examples.emplace_back();
    example.scores = {{3, 2}, {1, 1}};
    example.choice_scores = {0.1, -7};
    example.predicted = true;
    example.score = score;
  }
  result.examples[1].choice_scores[1] = NAN;
  write_file_atomic(result_path(folder_, all[0].key), result_json(context(), all[0], result));
  const ItemResult back = read_result(result_path(folder_, all[0].key));
  EXPECT_EQ(back.examples[0].choice_scores, result.examples[0].choice_scores);
  EXPECT_EQ(back.examples[0].score, 0.25);
  EXPECT_EQ(back.examples[1].score, 1.0 / 3);
  EXPECT_TRUE(back.examples[0].finite());
  EXPECT_FALSE(back.examples[1].finite());
}

TEST_F(Items, results_of_earlier_versions_are_read) {
  const auto path = folder_ / "old.json";
  write_file_atomic(path,
                    R"({"format": 1, "weight_by_expert": [], "examples": [{"id": "a", "nll": [3, 4], "tokens": [1, 2],
    "choices": ["x", "y z"], "target": 1, "target_text": "y z", "prediction": "y z", "predicted": true, "correct": true}]})");
  const ItemResult old = read_result(path);
  EXPECT_EQ(old.examples[0].score, 1);
  EXPECT_EQ(old.examples[0].choice_scores, (std::vector<double>{3, 2}));
}

TEST_F(Items, the_summary_weighs_tokens_picks_oracles_and_writes_every_example) {
  const auto chosen = methods({"phatgoose", "oracle"});
  const auto all = make_items(context(), chosen);
  finish(all, "phatgoose", 0, {1, 3}, {true, false});
  finish(all, "phatgoose", 1, {2, 2}, {true, true});
  finish(all, "phatgoose", 2, {8, 8}, {false, false});
  finish(all, "expert:sarcasm", 0, {1, 1}, {true, true});
  finish(all, "expert:tomi", 1, {2, 2}, {true, false});
  finish(all, "expert:tomi", 2, {6, 6}, {false, true});
  finish(all, "expert:sarcasm", 2, {9, 9}, {true, true});  // more right, though a worse NLL
  finish(all, "expert:bare", 2, {1, 1}, {false, false});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_TRUE(summary.missing.empty());
  const std::vector<bool> held_in = {true, true, false};
  EXPECT_EQ(summary.held_in, held_in);
  EXPECT_DOUBLE_EQ(summary.scores[0][0].nll_per_token(), 1.0);
  EXPECT_DOUBLE_EQ(summary.scores[0][0].mean_score(), 0.5);
  EXPECT_DOUBLE_EQ(mixed(summary, 0, true).nll_per_token(), 1.0);
  EXPECT_DOUBLE_EQ(mixed(summary, 1, true).nll_per_token(), 0.75);
  EXPECT_EQ(summary.oracle_expert[1][0], "sarcasm");
  EXPECT_EQ(summary.oracle_expert[1][2], "sarcasm");
  EXPECT_EQ(summary.expert_share[0], (std::vector<double>{0.75, 0.25, 0}));

  const std::string text = summary_page(summary).text();
  EXPECT_NE(text.find("phatgoose / oracle = 1.333"), std::string::npos) << text;
  EXPECT_NE(text.find("oracle*"), std::string::npos) << text;
  EXPECT_NE(text.find("unseen: sarcasm"), std::string::npos) << text;
  const auto json = nlohmann::json::parse(summary_json(summary));
  EXPECT_DOUBLE_EQ(json["methods"]["phatgoose"]["held_in_mixed"]["nll_per_token"], 1.0);
  const auto& task = json["methods"]["phatgoose"]["tasks"]["sarcasm"];  // 1 and 3 nats of 2 tokens each, one of two right
  EXPECT_NEAR(task["nll_interval"][1].get<double>(), 1 + 12.7062 / 2, 1e-4);
  EXPECT_NEAR(task["score_interval"][0].get<double>(), 0.0945, 1e-4);
  EXPECT_NE(text.find("held-in NLL/token   mean "), std::string::npos) << text;
  EXPECT_NE(text.find("  low "), std::string::npos) << text;

  std::istringstream lines(read_file(folder_ / "predictions.jsonl"));
  size_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const auto prediction = nlohmann::json::parse(line);
    for (const char* field : {"task", "id", "method", "choice_nll", "choice_tokens", "target_nll", "target_tokens",
                              "prediction", "target", "score", "correct", "normalise", "choice_score"})
      EXPECT_TRUE(prediction.contains(field)) << field;
  }
  EXPECT_EQ(count, 12u);
}

TEST_F(Items, scores_that_are_not_finite_mark_their_cells_and_no_others) {
  const auto chosen = methods({"phatgoose", "merged", "oracle"});
  const auto all = make_items(context(), chosen);
  for (size_t task = 0; task < 3; ++task) {
    finish(all, "phatgoose", task, {1, 3}, {true, false});
    finish(all, "merged", task, {1, task == 0 ? NAN : INFINITY}, {true, true});
  }
  finish(all, "expert:sarcasm", 0, {1, 1}, {true, true});
  finish(all, "expert:tomi", 1, {2, 2}, {true, false});
  finish(all, "expert:tomi", 2, {6, 6}, {false, false});
  finish(all, "expert:sarcasm", 2, {NAN, 1}, {true, true});
  finish(all, "expert:bare", 2, {1, NAN}, {true, true});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_EQ(summary.oracle_expert[2][2], "tomi");
  EXPECT_DOUBLE_EQ(summary.scores[0][0].nll_per_token(), 1.0);
  const auto json = nlohmann::json::parse(summary_json(summary));
  for (const std::string& task : summary.tasks)
    for (const char* field : {"nll_per_token", "correct", "accuracy"}) {
      EXPECT_TRUE(json["methods"]["merged"]["tasks"][task][field].is_null()) << task << field;
      EXPECT_TRUE(json["methods"]["phatgoose"]["tasks"][task][field].is_number()) << task << field;
    }
  std::istringstream lines(summary_page(summary).text());
  for (std::string line; std::getline(lines, line);) {
    const bool marked = line.find("not finite") != std::string::npos;
    EXPECT_TRUE(marked || !line.starts_with("merged")) << line;
  }
  EXPECT_EQ(summary_page(summary).text().find("phatgoose / merged"), std::string::npos);
  std::istringstream predictions(read_file(folder_ / "predictions.jsonl"));
  for (std::string line; std::getline(predictions, line);) {
    const auto prediction = nlohmann::json::parse(line);
    EXPECT_EQ(prediction["target_nll"].is_null(), prediction["prediction"].is_null()) << line;
  }
}

TEST_F(Items, shares_are_averaged_decide_for_oracles_and_are_not_called_right) {
  for (TokenTask& task : tasks_) task.metric = "f1";
  const auto chosen = methods({"none", "oracle"});
  const auto all = make_items(context(), chosen);
  for (size_t task = 0; task < 3; ++task) finish<double>(all, "none", task, {3, 3}, {0.25, 0.5});
  finish<double>(all, "expert:sarcasm", 0, {1, 1}, {0.5, 1});
  finish<double>(all, "expert:tomi", 1, {1, 1}, {0.5, 1});
  finish<double>(all, "expert:tomi", 2, {1, 1}, {0.5, 0.5});
  finish<double>(all, "expert:sarcasm", 2, {9, 9}, {0.4, 0.7});
  finish<double>(all, "expert:bare", 2, {1, 1}, {1, 0});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_EQ(summary.oracle_expert[1][2], "sarcasm");
  EXPECT_DOUBLE_EQ(mixed(summary, 0, true).mean_score(), 0.375);
  const auto json = nlohmann::json::parse(summary_json(summary));
  for (const auto& score : {json["methods"]["none"]["tasks"]["unseen"], json["methods"]["none"]["held_in_mixed"]}) {
    EXPECT_EQ(score["score"], 0.375);
    EXPECT_FALSE(score.contains("correct") || score.contains("accuracy"));
  }
  const std::string text = summary_page(summary).text();
  EXPECT_NE(text.find("held-out score %"), std::string::npos) << text;
  EXPECT_EQ(text.find("right"), std::string::npos) << text;
  std::istringstream lines(read_file(folder_ / "predictions.jsonl"));
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(nlohmann::json::parse(line)["score"], 0.25);
  EXPECT_FALSE(nlohmann::json::parse(line).contains("correct"));
}

TEST_F(Items, templates_of_a_dataset_have_a_mean_and_a_median) {
  for (const char* name : {"rte_1", "rte_2", "rte_3", "wic_1"}) {
    tasks_.push_back(tasks_[2]);
    tasks_.back().name = name;
    tasks_.back().group = std::string(name).substr(0, 3);
  }
  const auto chosen = methods({"none", "merged"});
  const auto all = make_items(context(), chosen);
  for (size_t task = 0; task < 7; ++task) finish<double>(all, "none", task, {3, 3}, {0, 1});
  for (size_t task : {0, 1, 2}) finish<double>(all, "merged", task, {3, 3}, {0, 0});
  finish<double>(all, "merged", 3, {3, 3}, {1, 1});
  finish<double>(all, "merged", 4, {3, 3}, {0, 0});
  finish<double>(all, "merged", 5, {3, 3}, {0, 1});
  finish<double>(all, "merged", 6, {3, 3}, {1, 1});
  Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  const auto groups = template_groups(summary);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_EQ(groups[0].name, "rte");
  EXPECT_EQ(groups[0].tasks, (std::vector<size_t>{3, 4, 5}));
  EXPECT_DOUBLE_EQ(over_templates(summary, 1, groups[0]).mean, 0.5);
  EXPECT_DOUBLE_EQ(over_templates(summary, 1, groups[0]).median, 0.5);
  summary.scores[1][5].points.value = 0;
  EXPECT_DOUBLE_EQ(over_templates(summary, 1, groups[0]).mean, 1.0 / 3);
  EXPECT_DOUBLE_EQ(over_templates(summary, 1, groups[0]).median, 0);
  const auto json = nlohmann::json::parse(summary_json(summary));
  EXPECT_EQ(json["methods"]["merged"]["groups"]["rte"],
            (nlohmann::json{{"mean_score", 1.0 / 3}, {"median_score", 0.0}}));
  EXPECT_EQ(json["tasks"]["wic_1"]["group"], "wic");
  EXPECT_FALSE(json["tasks"]["unseen"].contains("group"));
  const std::string text = summary_page(summary).text();
  for (const char* line :
       {"mean of the templates' right %  mean   rte    wic\n", "merged                          66.7  33.3  100.0\n",
        "median of the templates' right %  mean   rte    wic\n",
        "merged                            50.0   0.0  100.0\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  summary.scores[1][3] = {};  // a template without a result
  EXPECT_TRUE(std::isnan(over_templates(summary, 1, groups[0]).median));
  EXPECT_EQ(median_of({4, 1, 3, 2}), 2.5);
}

TEST_F(Items, a_method_is_not_scored_where_an_expert_that_it_uses_is_not_finite) {
  collection_.not_finite = {"", "", "bare@v0001: tensor t is NaN at [0]"};
  const auto reason = [&](const std::string& name) { return not_finite_in(methods({name})[0], collection_); };
  for (const char* name : {"none", "expert:tomi", "phatgoose", "oracle"}) EXPECT_EQ(reason(name), "") << name;
  for (const char* name : {"expert:bare", "merged", "arrow", "random"})
    EXPECT_EQ(reason(name), collection_.not_finite[2]) << name;
  const auto notes = notes_on(methods({"arrow"}), collection_, {});
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0], "arrow is not scored: bare@v0001: tensor t is NaN at [0]");
}

TEST_F(Items, the_oracle_of_a_held_in_task_is_its_own_expert_though_another_be_better) {
  const auto chosen = methods({"experts", "oracle"});
  const auto all = make_items(context(), chosen);
  finish(all, "expert:sarcasm", 0, {2, 2}, {false, false});
  finish(all, "expert:tomi", 0, {1, 1}, {true, true});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_EQ(summary.oracle_expert.back()[0], "sarcasm");
}

TEST_F(Items, results_of_another_collection_or_base_have_a_name_of_their_own) {
  const auto of = [](const char* collection, const char* content) {
    return results_of({{"collection", collection}}, "tiny", content);
  };
  const auto first = of("all@v0001", "0123456789abcdef");
  EXPECT_EQ(ending_of_names(folder_, first), "");
  Summary summary;
  summary.results_of = first;
  write_file_atomic(folder_ / "results.json", summary_json(summary));
  EXPECT_EQ(ending_of_names(folder_, first), "");
  EXPECT_EQ(ending_of_names(folder_, of("all@v0002", "0123456789abcdef")), "-all@v0002-01234567");
  EXPECT_EQ(ending_of_names(folder_, of("all@v0001", "fedcba9876543210")), "-all@v0001-fedcba98");
  EXPECT_EQ(ending_of_names(folder_, of("", "0123456789abcdef")), "-none-01234567");
  EXPECT_EQ(
      ending_of_names(folder_, results_of({{"from", "mhr@v0001"}, {"shared_from", nullptr}}, "tiny", "0123456789")),
      "-mhr@v0001-01234567");
  // Of an older gaggle: what it was of is not known, so it is kept.
  write_file_atomic(folder_ / "results.json", R"({"format": 1, "experts": []})");
  EXPECT_EQ(ending_of_names(folder_, first), "-all@v0001-01234567");
}

TEST_F(Items, no_mean_and_no_oracle_over_a_part_of_the_examples) {
  const auto chosen = methods({"phatgoose", "oracle"});
  const auto all = make_items(context(), chosen);
  finish(all, "phatgoose", 0, {1, 3}, {true, false});
  finish(all, "expert:tomi", 2, {6, 6}, {false, true});
  const Summary summary = summarise(context(), chosen, all, folder_, folder_ / "predictions.jsonl");
  EXPECT_FALSE(summary.missing.empty());
  EXPECT_TRUE(std::isnan(mixed(summary, 0, true).nll_per_token()));
  EXPECT_EQ(summary.oracle_expert[1][2], "");
  EXPECT_EQ(summary.scores[1][2].nll.rows, 0);
}

}  // namespace
}  // namespace gaggle
