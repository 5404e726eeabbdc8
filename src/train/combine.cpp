#include "train/combine.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>

#include "base/error.h"
#include "base/philox.h"

namespace gaggle {
namespace {

constexpr const char* combine_names[] = {"sum", "upgrad", "pcgrad"};
constexpr double regularisation = 1e-4;  // TorchJD's reg_eps
// What a task's weight would have to bring for each 1, of a G whose trace is 1: less is rounding.
constexpr double least_gain = 1e-12;

// A symmetric matrix, row after row.
struct Gram {
  size_t tasks;
  std::vector<double> values;
  explicit Gram(const at::Tensor& gram)
      : tasks(static_cast<size_t>(gram.size(0))),
        values(gram.const_data_ptr<double>(), gram.const_data_ptr<double>() + gram.numel()) {}
  double operator()(size_t i, size_t j) const { return values[i * tasks + j]; }
  double row_times(size_t i, const std::vector<double>& v) const {
    double sum = 0;
    for (size_t j = 0; j < tasks; ++j) sum += (*this)(i, j) * v[j];
    return sum;
  }
};

Gram gram_of(const at::Tensor& gram) {
  GAGGLE_CHECK(gram.scalar_type() == at::kDouble && gram.dim() == 2 && gram.size(0) == gram.size(1));
  return Gram(gram.contiguous());
}

// x with G_PP x = b, by Cholesky's L Lᵀ; P: the chosen rows and columns.
std::vector<double> solved(const Gram& gram, const std::vector<size_t>& chosen, std::vector<double> b) {
  const size_t n = chosen.size();
  std::vector<double> l(n * n, 0);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j <= i; ++j) {
      double sum = gram(chosen[i], chosen[j]);
      for (size_t k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = i == j ? std::sqrt(sum) : sum / l[j * n + j];
    }
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < i; ++k) b[i] -= l[i * n + k] * b[k];
    b[i] /= l[i * n + i];
  }
  for (size_t i = n; i-- > 0;) {
    for (size_t k = i + 1; k < n; ++k) b[i] -= l[k * n + i] * b[k];
    b[i] /= l[i * n + i];
  }
  return b;
}

// argmin_{v ≥ e_i} vᵀGv for a positive definite G: with u = v - e_i ≥ 0 the least squares of Lawson and Hanson ("Solving
// Least Squares Problems", 1974, chapter 23), whose normal equations are G's.
class Projection {
 public:
  Projection(const Gram& gram, size_t task) : gram_(gram), task_(task), u_(gram.tasks, 0), state_(gram.tasks, zero) {}

  std::vector<double> solve() {
    // Each turn leads to a smaller value; the limit is for where rounding hides that.
    for (size_t turn = 0; turn < 10 * gram_.tasks; ++turn) {
      const size_t best = most_wanted();
      if (best == gram_.tasks) break;
      state_[best] = free;
      if (!descend(best)) continue;
      std::ranges::replace(state_, refused, zero);
    }
    return v();
  }

 private:
  enum State { zero, free, refused };  // refused: tried since the last descent, and rounding alone had wanted it

  std::vector<double> v() const {
    std::vector<double> v = u_;
    v[task_] += 1;
    return v;
  }

  // The task whose u should grow most, -(Gv)_j; the number of tasks if there is none.
  size_t most_wanted() const {
    const std::vector<double> now = v();
    size_t best = gram_.tasks;
    double gain = least_gain;
    for (size_t j = 0; j < gram_.tasks; ++j)
      if (state_[j] == zero)
        if (const double of_j = -gram_.row_times(j, now); of_j > gain) best = j, gain = of_j;
    return best;
  }

  // To the least value over the free tasks, on the way letting go of those whose u would become negative; false: that was
  // `added` at once.
  bool descend(size_t added) {
    for (;;) {
      std::vector<size_t> chosen;
      std::vector<double> b;
      for (size_t j = 0; j < gram_.tasks; ++j)
        if (state_[j] == free) chosen.push_back(j), b.push_back(-gram_(j, task_));
      const std::vector<double> wanted = solved(gram_, chosen, b);
      double step = 1;
      size_t first = gram_.tasks;  // that comes to 0
      for (size_t k = 0; k < chosen.size(); ++k) {
        const double now = u_[chosen[k]];
        if (wanted[k] > 0 || (first < gram_.tasks && now / (now - wanted[k]) >= step)) continue;
        first = chosen[k], step = now == 0 ? 0 : now / (now - wanted[k]);
      }
      for (size_t k = 0; k < chosen.size(); ++k) {
        double& u = u_[chosen[k]];
        u = std::max(0.0, u + step * (wanted[k] - u));
      }
      if (first == gram_.tasks) return true;
      u_[first] = 0;
      state_[first] = first == added && step == 0 ? refused : zero;
      if (state_[first] == refused) return false;
    }
  }

  const Gram& gram_;
  size_t task_;
  std::vector<double> u_;
  std::vector<State> state_;
};

}  // namespace

Combine combine_named(const std::string& word) {
  const auto* const found = std::ranges::find(combine_names, word);
  GAGGLE_CHECK(found != std::end(combine_names), "train.combine {}", word);
  return static_cast<Combine>(found - combine_names);
}

const char* name_of(Combine combine) { return combine_names[static_cast<int>(combine)]; }

std::vector<double> upgrad_weights(const at::Tensor& gram) {
  Gram g = gram_of(gram);
  double trace = 0, sum = 0;
  for (size_t i = 0; i < g.tasks; ++i) trace += g(i, i);
  for (const double value : g.values) sum += value;
  std::vector<double> weights(g.tasks, std::isfinite(sum) ? 0.0 : std::numeric_limits<double>::quiet_NaN());
  if (!std::isfinite(sum)) return weights;
  if (trace > 0)
    for (double& value : g.values) value /= trace;
  for (size_t i = 0; i < g.tasks; ++i) g.values[i * g.tasks + i] += regularisation;
  for (size_t i = 0; i < g.tasks; ++i) {
    const std::vector<double> v = Projection(g, i).solve();
    for (size_t j = 0; j < g.tasks; ++j) weights[j] += v[j] / static_cast<double>(g.tasks);
  }
  return weights;
}

std::vector<double> pcgrad_weights(const at::Tensor& gram, uint64_t key) {
  const Gram g = gram_of(gram);
  std::vector<double> weights(g.tasks, 0);
  for (size_t i = 0; i < g.tasks; ++i) {
    std::vector<double> v(g.tasks, 0);
    v[i] = 1;
    for (const int64_t other : random_permutation(random_key("pcgrad", {key, i}), static_cast<int64_t>(g.tasks))) {
      const auto j = static_cast<size_t>(other);
      if (const double product = g.row_times(j, v); j != i && product < 0) v[j] -= product / g(j, j);
    }
    for (size_t j = 0; j < g.tasks; ++j) weights[j] += v[j];
  }
  return weights;
}

std::vector<double> combining_weights(const CombineSettings& settings, const at::Tensor& gram, int64_t first_sample) {
  if (settings.how == Combine::upgrad) return upgrad_weights(gram);
  GAGGLE_CHECK(settings.how == Combine::pcgrad);
  return pcgrad_weights(gram, random_key("pcgrad", {settings.seed, static_cast<uint64_t>(first_sample)}));
}

}  // namespace gaggle
