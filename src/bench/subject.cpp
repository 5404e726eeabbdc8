#include "bench/subject.h"

#include <algorithm>
#include <set>

#include "base/philox.h"
#include "model/speed.h"

namespace gaggle {
namespace {

constexpr int64_t pool_values = int64_t{1} << 20;

// Longest input and target of an example, as a plan assumes them, and tokens of a micro-batch.
struct ExampleShape {
  int64_t input = 0, target = 0, batch_tokens = 0;
};

ExampleShape shape_of(const Config& config, const ModelSpec& spec) {
  const auto given = [](int64_t planned, int64_t limit) { return planned > 0 ? planned : limit > 0 ? limit : 512; };
  ExampleShape shape{given(config.plan.input_tokens, config.data.max_input_tokens),
                     given(config.plan.target_tokens, config.data.max_target_tokens),
                     config.train.tokens_per_microbatch};
  if (spec.max_positions == 0 || spec.encoder_decoder()) return shape;
  shape.target = std::min(shape.target, (spec.max_positions + 3) / 4);
  shape.input = std::clamp<int64_t>(spec.max_positions - shape.target, 1, shape.input);
  return shape;
}

std::vector<int32_t> random_tokens(int64_t count, int64_t vocab, uint64_t row, std::string_view purpose) {
  std::vector<int32_t> ids;
  const uint64_t key = random_key(purpose, {row});
  for (int64_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>(random_bits(key, static_cast<uint64_t>(i)) % static_cast<uint64_t>(vocab)));
  return ids;
}

TokenExample random_example(int64_t input, int64_t target, uint64_t row, const ModelSpec& spec) {
  TokenExample example;
  std::vector<int32_t>& read = spec.encoder_decoder() ? example.source : example.input;
  read = random_tokens(input, spec.vocab, row, "bench input");
  if (spec.encoder_decoder()) example.input = {spec.decoder_start};
  example.target = random_tokens(target, spec.vocab, row, "bench target");
  return example;
}

// Lengths between half of the longest and the longest.
std::vector<TokenExample> random_examples(const ExampleShape& shape, int64_t most, const ModelSpec& spec) {
  std::vector<TokenExample> examples;
  int64_t tokens = 0;
  for (uint64_t row = 0; static_cast<int64_t>(examples.size()) < most; ++row) {
    const uint64_t key = random_key("bench length", {row});
    const auto length = [&](int64_t longest, uint64_t which) {
      const int64_t least = (longest + 1) / 2;
      return least + static_cast<int64_t>(random_bits(key, which) % static_cast<uint64_t>(longest - least + 1));
    };
    TokenExample example = random_example(length(shape.input, 0), length(shape.target, 1), row, spec);
    tokens += fed_tokens(example);
    if (!examples.empty() && tokens > shape.batch_tokens) break;
    examples.push_back(std::move(example));
  }
  return examples;
}

std::vector<Sample> samples_of(const std::vector<TokenExample>& examples, int64_t tasks) {
  std::vector<Sample> samples;
  for (size_t i = 0; i < examples.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    samples.push_back({number, static_cast<int>(number % tasks), &examples[i], number / tasks});
  }
  return samples;
}

Microbatch batch_of(std::span<const Sample> samples) {
  constexpr int64_t all = int64_t{1} << 40;
  return lane_microbatches(samples, loss_weights(samples, LossAverage::token), 0, 1, all)[0];
}

double linear_bytes(const BenchSubject& subject) {
  return subject.element() * static_cast<double>(subject.base.linear_weights());
}

double head_bytes(const BenchSubject& subject) {
  const ModelSpec& spec = subject.base.spec();
  return subject.element() * static_cast<double>(spec.vocab * spec.hidden);
}

}  // namespace

BenchSubject::BenchSubject(const Config& config, BaseModel& base) : config(config), base(base) {
  const ModelSpec& spec = base.spec();
  examples = random_examples(shape_of(config, spec), config.train.batch_size, spec);
  tasks = std::min<int64_t>(4, static_cast<int64_t>(examples.size()));
  samples = samples_of(examples, 1);
  mixed = samples_of(examples, tasks);
  batch = batch_of(samples);
  mixed_batch = batch_of(mixed);
  int64_t longest = batch.token_count();
  if (spec.max_positions > 0 && !spec.encoder_decoder()) longest = std::min(longest, spec.max_positions);
  const TokenExample row = random_example(std::max<int64_t>(1, longest - 1), 1, examples.size(), spec);
  long_row = batch_of(samples_of({row}, 1));
  lora = lora_sites(base.sites(), config.lora.targets, config.lora.rank, config.lora.alpha);
  std::set<std::pair<std::string, Side>> seen;
  for (const LoraSite& site : lora)
    if (seen.insert({site.site.kind, site.site.side}).second) layer.push_back(site);
}

at::Tensor random_values(at::IntArrayRef shape, const at::TensorOptions& options, std::string_view purpose,
                         uint64_t number, double std) {
  static const at::Tensor pool = [] {
    at::Tensor values = at::empty({pool_values}, at::kFloat);
    fill_normal(random_key("bench values", {}), 1, {values.data_ptr<float>(), static_cast<size_t>(pool_values)});
    return values;
  }();
  at::Tensor values = at::empty(shape, at::kFloat);
  float* to = values.data_ptr<float>();
  const float* from = pool.data_ptr<float>();
  auto place = static_cast<int64_t>(random_bits(random_key(purpose, {number}), 0) % static_cast<uint64_t>(pool_values));
  for (int64_t done = 0; done < values.numel();) {
    const int64_t piece = std::min(values.numel() - done, pool_values - place);
    std::copy_n(from + place, piece, to + done);
    done += piece;
    place = 0;
  }
  return values.mul_(std).to(options.device(), c10::typeMetaToScalarType(options.dtype()));
}

RoutedCollection random_collection(const BenchSubject& subject, const std::vector<LoraSite>& sites, int64_t experts) {
  const auto n = static_cast<size_t>(experts);
  RoutedCollection collection;
  collection.not_finite.resize(n);
  for (size_t z = 0; z < n; ++z) collection.names.push_back("expert " + std::to_string(z));
  collection.sites.assign(subject.base.sites().size(), stack_experts(std::vector<LowRank>(n)));
  collection.gates.assign(collection.sites.size(), std::vector<at::Tensor>(n));
  for (const LoraSite& s : sites) {
    const auto index = static_cast<size_t>(s.site.index);
    std::vector<LowRank> pairs;
    for (size_t z = 0; z < n; ++z) {
      const uint64_t number = index * n + z;
      pairs.push_back({random_values({s.rank, s.site.d_in}, subject.activations(), "bench A", number, 0.01),
                       random_values({s.site.d_out, s.rank}, subject.activations(), "bench B", number, 0.01),
                       s.scale,
                       {}});
      collection.gates[index][z] =
          random_values({s.site.d_in}, subject.activations().dtype(at::kFloat), "bench gate", number, 0.1);
    }
    collection.sites[index] = stack_experts(std::move(pairs));
  }
  return collection;
}

BenchWork forward_work(const BenchSubject& subject, const Microbatch& batch) {
  return {forward_flops(subject.base, batch), linear_bytes(subject) + head_bytes(subject)};
}

BenchWork training_work(const BenchSubject& subject, const Microbatch& batch) {
  return {useful_flops(subject.base, batch), 2 * (linear_bytes(subject) + head_bytes(subject))};
}

BenchWork score_work(const BenchSubject& subject, const Site& site, int64_t experts) {
  const auto tokens = static_cast<double>(subject.tokens(site)), n = static_cast<double>(experts);
  const auto width = static_cast<double>(site.d_in);
  return {2 * tokens * n * width, tokens * width * subject.element() + 4 * n * width};
}

BenchWork pairs_work(const BenchSubject& subject, const LoraSite& site, int64_t experts, int64_t k) {
  const auto tokens = static_cast<double>(subject.tokens(site.site));
  const auto taken = static_cast<double>(std::min(k, experts));
  const auto used = std::min(static_cast<double>(experts), taken * tokens);
  const auto pair = static_cast<double>(site.rank * (site.site.d_in + site.site.d_out));
  const auto rows = tokens * static_cast<double>(site.site.d_in + 2 * site.site.d_out);
  return {2 * tokens * taken * pair, subject.element() * (used * pair + rows)};
}

}  // namespace gaggle
