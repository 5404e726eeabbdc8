// Choices for sequences, layers and the model behind caches; what must be exact. The formulas: test_routing_rules.py.
#include "eval/generate.h"
#include "eval/routing_of.h"
#include "eval/score.h"
#include "stories.h"

namespace gaggle {
namespace {

struct RoutingRules : Stories {
  RoutingRules() {
    if (!base_) return;
    collection_ = three_experts();
    for (uint64_t z = 0; z < 3; ++z) {
      at::Tensor states = at::empty({4, base_->spec().hidden}, at::kFloat);
      fill_normal(random_key("states", {z}), 1, {states.data_ptr<float>(), static_cast<size_t>(states.numel())});
      prepared_.states.push_back(states / states.norm(2, {1}, true));
    }
  }
  Method method(const std::string& text) const {
    Config config;
    config.eval.methods = {text};
    return read_methods(config, collection_)[0];
  }
  std::unique_ptr<RoutedAdapter> adapter(const std::string& text, const std::string& task = "",
                                         const std::string& category = "") {
    return make_adapter(method(text), collection_, prepared_, 0, *base_, {task, category});
  }
  double nll(SiteAdapter* adapter, const Ids& prompt, const std::vector<Ids>& answers, size_t which,
             int64_t budget = 1) {
    std::vector<Question> questions(1);
    questions[0].prompt = prompt;
    for (const Ids& answer : answers) questions[0].continuations.push_back(answer);
    return score_continuations(*base_, adapter, questions, budget, {})[0][which].nll;
  }

  RoutedCollection collection_;
  PreparedExperts prepared_;
};

const char* const cached_methods[] = {
    "phatgoose granularity=sequence",
    "phatgoose scope=layer",
    "arrow scope=model",
    "spectr granularity=sequence scope=layer calibrate=norm",
    "phatgoose granularity=sequence scope=model prior=1",
    "retrieval top_k=1",
    "arrow+spectr abstain=true general=0.5",
};

TEST_F(RoutingRules, an_answer_behind_the_cache_of_its_prompt_is_routed_as_the_whole_text_is) {
  const Ids prompt = ids(11, 1);
  const std::vector<Ids> answers = {ids(4, 2), ids(1, 3), ids(6, 4)};
  for (const char* text : cached_methods)
    for (size_t which = 0; which < answers.size(); ++which) {
      const double together = nll(adapter(text).get(), prompt, answers, which);
      const double alone = nll(adapter(text).get(), prompt, {answers[which]}, 0);
      EXPECT_NEAR(together, alone, 1e-4 * alone) << text;
    }
}

TEST_F(RoutingRules, a_text_is_routed_by_itself_whatever_stands_beside_it) {
  std::vector<Question> questions;
  const std::vector<Ids> prompts = {ids(9, 1), ids(3, 2), ids(14, 3)}, answers = {ids(3, 4), ids(5, 5), ids(2, 6)};
  for (size_t i = 0; i < 3; ++i) questions.push_back({{}, prompts[i], {answers[i], answers[(i + 1) % 3]}});
  for (const char* text : cached_methods) {
    const auto all = score_continuations(*base_, adapter(text).get(), questions, 1000, {});
    for (size_t i = 0; i < 3; ++i)
      EXPECT_NEAR(all[i][0].nll, nll(adapter(text).get(), prompts[i], {answers[i]}, 0), 1e-4 * all[i][0].nll) << text;
  }
}

TEST_F(RoutingRules, generated_tokens_are_the_likeliest_of_the_whole_text) {
  const Ids prompt = ids(8, 7);
  for (const char* text : cached_methods) {
    GenerateOptions options;
    options.max_new_tokens = 5;
    const GeneratePrompt asked{{}, prompt};
    const Ids written = generate(*base_, adapter(text).get(), {&asked, 1}, options)[0];
    for (size_t n = 0; n < written.size(); ++n) {
      // As an answer to the same prompt no other token continues it better.
      Ids best(written.begin(), written.begin() + static_cast<std::ptrdiff_t>(n) + 1), other = best;
      other.back() = static_cast<int32_t>((other.back() + 1 + static_cast<int32_t>(n)) % base_->spec().vocab);
      EXPECT_LE(nll(adapter(text).get(), prompt, {best}, 0), nll(adapter(text).get(), prompt, {other}, 0) + 1e-5)
          << text;
    }
  }
}

TEST_F(RoutingRules, one_expert_for_the_whole_model_is_that_expert) {
  const Ids prompt = ids(11, 1), answer = ids(4, 2);
  std::vector<double> single;
  for (int z = 0; z < 3; ++z) single.push_back(nll(make_single(collection_, z).get(), prompt, {answer}, 0));
  for (const char* text : {"phatgoose granularity=sequence scope=model top_k=1",
                           "spectr granularity=sequence scope=model top_k=1", "retrieval top_k=1"}) {
    const auto routed = adapter(text);
    const double found = nll(routed.get(), prompt, {answer}, 0);
    const auto weight = routed->weight_by_expert();
    const auto chosen = std::ranges::max_element(weight) - weight.begin();
    EXPECT_EQ(std::ranges::count(weight, 0.0), 2) << text;
    EXPECT_NEAR(found, single[static_cast<size_t>(chosen)], 1e-5 * found) << text;
  }
}

TEST_F(RoutingRules, the_plain_rule_is_the_kernels_own) {
  const Ids prompt = ids(11, 1), answer = ids(4, 2);
  // A temperature of 1 + 1e-12 takes the way of rules.
  for (const std::string name : {"phatgoose", "arrow"})
    EXPECT_NEAR(nll(adapter(name).get(), prompt, {answer}, 0),
                nll(adapter(name + " temperature=1.000000000001").get(), prompt, {answer}, 0), 1e-4);
}

TEST_F(RoutingRules, own_leaves_out_the_expert_of_the_task) {
  const Ids prompt = ids(11, 1), answer = ids(4, 2);
  for (const std::string name : {"phatgoose", "spectr", "random", "retrieval"}) {
    const auto without_b = adapter(name + " leave_out=own", "b");
    EXPECT_NE(nll(without_b.get(), prompt, {answer}, 0), nll(adapter(name).get(), prompt, {answer}, 0)) << name;
    EXPECT_EQ(without_b->weight_by_expert()[1], 0) << name;
    const auto held_out = adapter(name + " leave_out=own", "elsewhere");
    EXPECT_EQ(nll(held_out.get(), prompt, {answer}, 0), nll(adapter(name).get(), prompt, {answer}, 0)) << name;
  }
}

TEST_F(RoutingRules, categories_leave_out_the_experts_of_their_tasks) {
  collection_.categories = {"logic", "", "logic"};
  const Ids prompt = ids(11, 1), answer = ids(4, 2);
  const auto nll_of = [&](const std::string& text, const std::string& category) {
    return nll(adapter(text, "d", category).get(), prompt, {answer}, 0);
  };
  for (const std::string name : {"phatgoose", "spectr", "random", "retrieval"}) {
    const double without = nll_of(name + " leave_out=a,c", "");
    EXPECT_NE(without, nll_of(name, "")) << name;
    EXPECT_EQ(nll_of(name + " leave_out=category:logic", ""), without) << name;
    EXPECT_EQ(nll_of(name + " leave_out=own_category", "logic"), without) << name;
    EXPECT_EQ(nll_of(name + " leave_out=own_category", "arithmetic"), nll_of(name, "")) << name;
    EXPECT_EQ(nll_of(name + " leave_out=own_category", ""), nll_of(name, "")) << name << ": b has no category either";
  }
  EXPECT_TRUE(depends_on_task(method("spectr leave_out=own_category")));
  EXPECT_FALSE(depends_on_task(method("spectr leave_out=category:logic")));
}

TEST_F(RoutingRules, categories_that_nobody_has_are_refused_or_said) {
  const auto why = [&](const std::string& text) -> std::string {
    try {
      method(text);
    } catch (const UserError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(why("spectr leave_out=own_category").find("none of the experts says of which category"), std::string::npos);
  collection_.categories = {"logic", "", "words"};
  EXPECT_NE(why("spectr leave_out=category:lgic")
                .find("no expert is of category lgic (did you mean logic?); "
                      "there are logic, words"),
            std::string::npos)
      << why("spectr leave_out=category:lgic");
  EXPECT_EQ(
      notes_on({method("spectr leave_out=own_category")}, collection_, {{"x", "logic"}, {"y", ""}}),
      (std::vector<std::string>{"spectr leave_out=own_category: experts without a category take part everywhere: b; "
                                "tasks without one leave nobody out: y"}));
}

TEST_F(RoutingRules, what_changes_scores_is_in_the_settings) {
  const std::vector<std::string> all = {"phatgoose",
                                        "phatgoose top_k=1",
                                        "phatgoose temperature=2",
                                        "phatgoose scope=layer",
                                        "phatgoose granularity=sequence",
                                        "phatgoose calibrate=norm",
                                        "phatgoose general=0.1",
                                        "phatgoose abstain=true",
                                        "phatgoose leave_out=a",
                                        "phatgoose leave_out=own",
                                        "arrow",
                                        "arrow arrow=phatgoose",
                                        "arrow+spectr",
                                        "spectr",
                                        "random",
                                        "random top_k=1"};
  std::set<std::string> seen;
  for (const std::string& text : all) seen.insert(settings_of(method(text), collection_, prepared_, 0, {"b"}));
  EXPECT_EQ(seen.size(), all.size());
  EXPECT_EQ(settings_of(method("phatgoose leave_out=own"), collection_, prepared_, 0, {"b"}),
            settings_of(method("phatgoose leave_out=b"), collection_, prepared_, 0, {"b"}));
}

TEST(OutputScoresOfBest, are_minus_infinity_beyond_the_best_by_direction) {
  const auto normal = [](std::vector<int64_t> shape, uint64_t seed) {
    at::Tensor values = at::empty(shape, at::kFloat);
    fill_normal(random_key("test", {seed}), 1, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
    return values;
  };
  std::vector<LowRank> experts;
  std::vector<at::Tensor> directions;
  for (uint64_t z = 0; z < 5; ++z) {
    const auto rank = static_cast<int64_t>(z) + 1;  // 1 to 5: unlike ranks, and B without a column to spare
    experts.push_back({normal({rank, 12}, z), normal({7, rank}, 10 + z), 0.5, {}});
    directions.push_back(arrow_direction(experts.back().a, experts.back().b));
  }
  std::vector<RoutedSite> sites = {stack_experts(experts)};
  set_candidates(sites[0], {0, 1, 2, 3, 4}, directions);
  const Site site{0, "site", "site", 0, 12, 7};
  const at::Tensor x = normal({6, 12}, 99);
  const at::Tensor all = scores_by_output(sites)->of(site, sites[0], x);
  const at::Tensor two = scores_by_output_of_best(sites, Scoring::arrow_mttl, 2)->of(site, sites[0], x);
  const at::Tensor arrows = direction_scores(x, sites[0], Scoring::arrow_mttl);
  for (int64_t t = 0; t < 6; ++t)
    for (int64_t z = 0; z < 5; ++z) {
      const LowRank& e = experts[static_cast<size_t>(z)];
      const double length = at::matmul(e.b, at::matmul(e.a, x[t])).norm().item<double>() * e.scale;
      EXPECT_NEAR(all[t][z].item<double>(), length, 1e-5 * length);
      const bool among_best = (arrows[t] > arrows[t][z]).sum().item<int64_t>() < 2;
      EXPECT_EQ(std::isfinite(two[t][z].item<double>()), among_best);
      if (among_best) {
        EXPECT_NEAR(two[t][z].item<double>(), length, 1e-5 * length);
      }
    }
}

}  // namespace
}  // namespace gaggle
