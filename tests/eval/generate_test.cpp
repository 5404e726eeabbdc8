// Generation against its definition without a cache, on stories260K, and beam search's rules on a made-up base.
#include "eval/generate.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "../model/no_checkpoint.h"
#include "eval/score.h"
#include "kernel/upload.h"
#include "stories.h"

namespace gaggle {
namespace {

// Log-probabilities of the token behind these new ones.
using Next = std::function<std::vector<double>(const Ids& tokens)>;

// Beam search by its words (eval/decoding.h): every beam recomputed, every continuation sorted, nothing shared.
Ids searched(const Next& next, const GenerateOptions& options) {
  struct Line {
    double sum = 0;
    size_t beam = 0;
    Ids tokens;
  };
  const auto n = static_cast<size_t>(options.beams);
  std::vector<Line> beams(1), done;
  for (int64_t length = 1;; ++length) {
    const double divisor = std::pow(double(length), options.length_penalty);
    std::vector<Line> all;
    for (size_t b = 0; b < beams.size(); ++b) {
      const auto log_probabilities = next(beams[b].tokens);
      for (size_t v = 0; v < log_probabilities.size(); ++v) {
        Line& line = all.emplace_back(beams[b].sum + log_probabilities[v], b, beams[b].tokens);
        line.tokens.push_back(static_cast<int32_t>(v));
      }
    }
    std::stable_sort(all.begin(), all.end(), [](const Line& a, const Line& b) { return a.sum > b.sum; });
    all.resize(std::min(all.size(), 2 * n));
    beams.clear();
    for (size_t i = 0; i < all.size(); ++i) {
      const bool end = all[i].tokens.back() == options.end, last = length == options.max_new_tokens;
      if (!end && !last && beams.size() < n) beams.push_back(all[i]);
      if (i >= n || !(end || last)) continue;
      done.push_back({all[i].sum / divisor, 0, all[i].tokens});
      if (end) done.back().tokens.pop_back();
    }
    std::stable_sort(done.begin(), done.end(), [](const Line& a, const Line& b) { return a.sum > b.sum; });
    done.resize(std::min(done.size(), n));
    if (beams.empty() || (done.size() == n && beams[0].sum / divisor <= done.back().sum)) return done[0].tokens;
  }
}

std::vector<GeneratePrompt> given_of(const std::vector<Ids>& prompts) {
  std::vector<GeneratePrompt> given;
  for (const Ids& prompt : prompts) given.push_back({.source = {}, .input = prompt});
  return given;
}

// Remembers what the base says behind a prompt, by one pass over the whole sequence.
Next recomputed(BaseModel& base, SiteAdapter* adapter, const Ids& prompt) {
  const auto known = std::make_shared<std::map<Ids, std::vector<double>>>();
  return [=, &base](const Ids& tokens) {
    std::vector<double>& values = (*known)[tokens];
    if (!values.empty()) return values;
    Ids all = prompt;
    all.insert(all.end(), tokens.begin(), tokens.end());
    Microbatch batch;
    append_sequence(batch.decoder, all, 0);
    batch.decoder.segments = {{0, 0, batch.decoder.count()}};
    const int64_t last = batch.decoder.count() - 1;
    const auto logits = base.logits(base.forward(batch, adapter, nullptr), {&last, 1});
    const auto row = logits.to(at::kDouble).log_softmax(1).contiguous();
    values.assign(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
    return values;
  };
}

TEST_F(Stories, greedy_with_cache_writes_what_recomputation_writes) {
  const std::vector<Ids> prompts = {ids(7, 1), ids(1, 2), ids(19, 3), ids(7, 4)};
  const auto given = given_of(prompts);
  const auto router = this->router();
  for (SiteAdapter* adapter : {static_cast<SiteAdapter*>(nullptr), static_cast<SiteAdapter*>(router.get())}) {
    GenerateOptions options;
    options.max_new_tokens = 12;
    std::vector<Ids> expected;
    for (const Ids& prompt : prompts) {
      const Next next = recomputed(*base_, adapter, prompt);
      Ids& tokens = expected.emplace_back();
      for (int64_t i = 0; i < options.max_new_tokens; ++i) {
        const auto row = next(tokens);
        tokens.push_back(static_cast<int32_t>(std::ranges::max_element(row) - row.begin()));
      }
    }
    for (const int64_t budget : {int64_t(1), int64_t(10000)}) {
      options.token_budget = budget;
      EXPECT_EQ(generate(*base_, adapter, given, options), expected);
    }
    // It ends before the end token, whichever example says it when.
    options.end = expected[0][3];
    const auto ended = generate(*base_, adapter, given, options);
    for (size_t i = 0; i < expected.size(); ++i) {
      Ids until(expected[i].begin(), std::find(expected[i].begin(), expected[i].end(), options.end));
      EXPECT_EQ(ended[i], until);
    }
  }
}

TEST_F(Stories, beams_with_cache_write_what_recomputation_writes) {
  const std::vector<Ids> prompts = {ids(7, 1), ids(1, 2), ids(19, 3), ids(7, 4)};
  const auto given = given_of(prompts);
  const auto router = this->router();
  size_t shorter = 0;
  for (SiteAdapter* adapter : {static_cast<SiteAdapter*>(nullptr), static_cast<SiteAdapter*>(router.get())}) {
    std::vector<Next> next;
    for (const Ids& prompt : prompts) next.push_back(recomputed(*base_, adapter, prompt));
    GenerateOptions options;
    options.max_new_tokens = 10;
    const int32_t end = generate(*base_, adapter, given, options)[0][2];
    for (options.beams = 2; options.beams <= 4; options.beams += 2)
      for (const double penalty : {0.5, 1.0, 2.0})
        for (const int32_t stop : {-1, end}) {
          options.length_penalty = penalty;
          options.end = stop;
          std::vector<Ids> expected;
          for (const Next& one : next) expected.push_back(searched(one, options));
          for (const Ids& tokens : expected) shorter += tokens.size() < 10;
          for (const int64_t budget : {int64_t(1), int64_t(100), int64_t(10000)}) {
            options.token_budget = budget;
            EXPECT_EQ(generate(*base_, adapter, given, options), expected)
                << options.beams << " " << penalty << " " << stop << " budget " << budget;
          }
        }
  }
  EXPECT_GT(shorter, 4u);  // else no end was ever reached
}

// A base that looks at the last token alone: its logits are that token's row of a table [V, V].
struct Chain : BaseModel {
  explicit Chain(at::Tensor rows)
      : BaseModel(NoCheckpoint(), {}, at::kFloat, at::kCPU, BaseUse::inference, Storage::dtype),
        table(std::move(rows)) {
    head_ = FrozenLinear(table.t().contiguous(), {}, BaseUse::inference);
  }
  at::Tensor forward(const Microbatch& batch, SiteAdapter*, KeyValueCache* cache) override {
    cache->length += batch.decoder.count();
    return at::eye(table.size(0)).index_select(0, to_device(batch.decoder.ids, at::kCPU));
  }
  at::Tensor forward_backward(const Microbatch&, SiteAdapter&, const LossOptions&, const BaseDropout&) override {
    return {};
  }
  at::Tensor table;
};

at::Tensor random_table(int64_t size, uint64_t seed) {
  at::Tensor table = at::empty({size, size}, at::kFloat);
  fill_normal(random_key("chain", {seed}), 2, {table.data_ptr<float>(), static_cast<size_t>(table.numel())});
  return table;
}

// Rows of probabilities as a table; 0 is as good as none.
at::Tensor table_of(const std::vector<std::vector<double>>& rows) {
  std::vector<at::Tensor> logs;
  for (const auto& row : rows) logs.push_back(at::tensor(at::ArrayRef<double>(row), at::kFloat).log().clamp_min(-1e4));
  return at::stack(logs);
}

Next next_of(const Chain& chain, int32_t prompt) {
  return [&chain, prompt](const Ids& tokens) {
    const auto row = chain.table[tokens.empty() ? prompt : tokens.back()].to(at::kDouble).log_softmax(0);
    return std::vector<double>(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
  };
}

// The output for a prompt of one token.
Ids written(Chain& chain, int32_t prompt, const GenerateOptions& options) {
  const GeneratePrompt given{.source = {}, .input = {&prompt, 1}};
  return generate(chain, nullptr, {&given, 1}, options)[0];
}

TEST(Beams, follow_their_rules_on_random_chains) {
  GenerateOptions options;
  options.end = 0;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Chain chain(random_table(6 + static_cast<int64_t>(seed % 3) * 10, seed));
    for (const int64_t length : {1, 2, 5, 12})
      for (const int64_t beams : {2, 3, 5, 9})
        for (const double penalty : {-1.0, 0.0, 0.5, 1.0, 2.0}) {
          options.max_new_tokens = length, options.beams = beams, options.length_penalty = penalty;
          ASSERT_EQ(written(chain, 1, options), searched(next_of(chain, 1), options))
              << "seed " << seed << " length " << length << " beams " << beams << " penalty " << penalty;
        }
  }
}

// The best of all sequences, by trying each.
void try_all(const Next& next, const GenerateOptions& options, double sum, Ids& tokens, double& best, Ids& output) {
  const auto row = next(tokens);
  for (size_t v = 0; v < row.size(); ++v) {
    const bool end = static_cast<int32_t>(v) == options.end;
    tokens.push_back(static_cast<int32_t>(v));
    const auto length = static_cast<int64_t>(tokens.size());
    const double score = (sum + row[v]) / std::pow(double(length), options.length_penalty);
    if (!end && length < options.max_new_tokens)
      try_all(next, options, sum + row[v], tokens, best, output);
    else if (score > best)
      best = score, output = Ids(tokens.begin(), tokens.end() - (end ? 1 : 0));
    tokens.pop_back();
  }
}

TEST(Beams, that_hold_every_sequence_find_the_best_of_all) {
  GenerateOptions options;
  options.max_new_tokens = 3, options.beams = 64, options.end = 2;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Chain chain(random_table(4, seed));
    for (const double penalty : {0.0, 1.0, 3.0}) {
      options.length_penalty = penalty;
      double best = -1e30;
      Ids tokens, expected;
      try_all(next_of(chain, 0), options, 0, tokens, best, expected);
      EXPECT_EQ(written(chain, 0, options), expected) << seed << " " << penalty;
    }
  }
}

TEST(Beams, of_equals_take_the_lower_beam_then_the_lower_token) {
  GenerateOptions options;
  options.max_new_tokens = 3, options.beams = 2;
  Chain flat(at::zeros({100, 100}));
  EXPECT_EQ(written(flat, 50, options), (Ids{0, 0, 0}));
  // From 2 to 0 or 1, likewise; from 0 only to 1, from 1 only to 0: the sums stay equal.
  Chain ring(table_of({{0, 1, 0}, {1, 0, 0}, {0.5, 0.5, 0}}));
  options.max_new_tokens = 2;
  EXPECT_EQ(written(ring, 2, options), (Ids{0, 1}));
}

TEST(Beams, keep_an_end_only_from_among_the_first_n) {
  GenerateOptions options;
  options.max_new_tokens = 2, options.beams = 2, options.end = 19;
  std::vector<std::vector<double>> rows(20, std::vector<double>(20, 0.05));
  rows[1].assign(20, 0);
  rows[1][3] = 0.4, rows[1][4] = 0.35, rows[1][19] = 0.25;
  Chain chain(table_of(rows));
  // The end is third. Kept, ln 0.25 would win over ln(0.4 · 0.05) / 2.
  EXPECT_EQ(written(chain, 1, options), (Ids{3, 0}));
}

TEST(Beams, stop_as_soon_as_n_are_finished_and_no_beam_beats_them) {
  GenerateOptions options;
  options.max_new_tokens = 50, options.beams = 2, options.end = 0;
  int passes = 0;
  options.between = [&] { ++passes; };
  Chain chain(table_of(std::vector<std::vector<double>>(3, {0.9, 0.05, 0.05})));
  EXPECT_EQ(written(chain, 1, options), Ids{});
  EXPECT_EQ(passes, 2);
}

TEST(Beams, hand_an_output_over_once_its_prompt_is_done) {
  GenerateOptions options;
  options.max_new_tokens = 8, options.beams = 3, options.end = 0;
  std::vector<Ids> told(5);
  std::vector<int> passes(5);
  int pass = 0;
  options.between = [&] { ++pass; };
  options.on_token = [&](size_t prompt, int32_t token) {
    EXPECT_TRUE(told[prompt].empty() || passes[prompt] == pass);
    told[prompt].push_back(token);
    passes[prompt] = pass;
  };
  Chain chain(random_table(12, 3));
  const std::vector<Ids> prompts = {{1}, {2, 3}, {4}, {5, 6, 7}, {8}};
  EXPECT_EQ(generate(chain, nullptr, given_of(prompts), options), told);
  options.on_token = {}, options.between = {};
  for (size_t i = 0; i < prompts.size(); ++i) EXPECT_EQ(written(chain, prompts[i].back(), options), told[i]);
}

}  // namespace
}  // namespace gaggle
