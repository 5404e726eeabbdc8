// A base of two sites, small enough to follow by hand: tokens → E → site 0 → tanh → site 1 → head.
#pragma once

#include <limits>
#include <new>

#include "../model/no_checkpoint.h"
#include "data/tokens.h"
#include "model/base_model.h"

namespace gaggle {

class FakeBase : public BaseModel {
 public:
  FakeBase()
      : BaseModel(NoCheckpoint(), {{0, "layers.0.up", "up", 0, 6, 5}, {1, "layers.1.down", "down", 1, 5, 7}},
                  at::kFloat, at::kCPU, BaseUse::training, Storage::dtype) {
    at::manual_seed(3);
    rows_ = at::cat({at::randn({vocab, 6}), at::full({1, 6}, std::numeric_limits<double>::quiet_NaN())});
    first_ = at::randn({5, 6}) * 0.4;
    second_ = at::randn({7, 5}) * 0.4;
    out_ = at::randn({vocab, 7});
    head_ = FrozenLinear(out_, {}, BaseUse::training);
    content_digest_ = "fake";
  }
  at::Tensor forward(const Microbatch& batch, SiteAdapter* adapter, KeyValueCache*) override {
    if (adapter) adapter->begin(batch);
    x_ = rows_.index_select(0, ids(batch.decoder.ids));
    at::Tensor y = at::mm(adapter ? adapter->rescaled_input(sites_[0], x_) : x_, first_.t());
    if (adapter) adapter->forward(sites_[0], x_, y);
    z_ = y.tanh();
    at::Tensor out = at::mm(adapter ? adapter->rescaled_input(sites_[1], z_) : z_, second_.t());
    if (adapter) adapter->forward(sites_[1], z_, out);
    return out;
  }
  at::Tensor forward_backward(const Microbatch& batch, SiteAdapter& adapter, const LossOptions& options,
                              const BaseDropout&) override {
    const c10::InferenceMode no_autograd;
    passes.push_back(batch.decoder.count());
    if (batch.decoder.count() > most_tokens) throw std::bad_alloc();
    const at::Tensor out = forward(batch, &adapter, nullptr);
    at::Tensor loss = nll(out, batch);
    std::vector<float> w = batch.target_weights;
    if (options.weights) options.weights(batch, {loss.const_data_ptr<float>(), w.size()}, w);
    const at::Tensor weights = at::tensor(at::ArrayRef<float>(w)).unsqueeze(1);
    at::Tensor d = logits(out, batch.scored_tokens).softmax(1);
    const double smoothing = options.label_smoothing;
    if (smoothing > 0) {
      loss = loss * (1 - smoothing) - logits(out, batch.scored_tokens).log_softmax(1).mean(1) * smoothing;
      d.sub_(smoothing / vocab);
    }
    d.scatter_add_(1, ids(batch.target_ids).unsqueeze(1), at::full_like(weights, smoothing - 1));
    const at::Tensor dout = at::zeros_like(out).index_add(0, at::tensor(at::IntArrayRef(batch.scored_tokens)),
                                                          at::mm(d.mul(weights), out_));
    at::Tensor dz = at::mm(adapter.rescaled_gradient(sites_[1], dout), second_);
    adapter.backward(sites_[1], z_, dout, dz);
    if (between_layers) between_layers();
    const at::Tensor dy = dz.mul(1 - z_.square());
    at::Tensor dx = at::mm(adapter.rescaled_gradient(sites_[0], dy), first_);
    adapter.backward(sites_[0], x_, dy, dx);
    return fail_after-- == 0 ? loss.fill_(std::numeric_limits<float>::quiet_NaN()) : loss;
  }
  static constexpr int64_t vocab = 11;
  static constexpr int32_t poison = vocab;                    // a token whose values are not finite
  int64_t fail_after = -1;                                    // passes until one answers NaN
  int64_t most_tokens = std::numeric_limits<int64_t>::max();  // of a training pass: memory ends there
  std::vector<int64_t> passes;                                // tokens of each
  std::function<void()> between_layers;                       // in a backward pass, once the upper one is done

 private:
  static at::Tensor ids(const std::vector<int32_t>& values) {
    return at::tensor(at::ArrayRef<int32_t>(values)).to(at::kLong);
  }
  at::Tensor rows_, first_, second_, out_, x_, z_;
};

// 23 examples of 2 to 7 tokens.
inline TokenTask fake_task() {
  TokenTask task;
  task.name = "fake";
  task.digest = "rows";
  for (int i = 0; i < 23; ++i) {
    TokenExample example;
    for (int j = 0; j <= i % 4; ++j) example.input.push_back((3 * i + j) % 11);
    for (int j = 0; j <= i % 3; ++j) example.target.push_back((5 * i + 2 * j) % 11);
    task.splits[i % 5 == 4 ? 1 : 0].push_back(example);
  }
  return task;
}

// Three tasks of 23, 11 and 5 examples; the last has nothing to validate with.
inline std::vector<TokenTask> fake_tasks() {
  std::vector<TokenTask> tasks(3, fake_task());
  for (size_t t = 0; t < tasks.size(); ++t) {
    tasks[t].name = std::string("task ") + "abc"[t];
    tasks[t].digest = tasks[t].name + "'s rows";
    for (auto& examples : tasks[t].splits)
      for (TokenExample& example : examples)
        for (int32_t& id : example.target) id = (id + static_cast<int32_t>(3 * t)) % 11;
  }
  tasks[1].splits[0].resize(9), tasks[1].splits[1].resize(2);
  tasks[2].splits[0].resize(5), tasks[2].splits[1].clear();
  return tasks;
}

}  // namespace gaggle
