// What a routing method chose, added up while examples pass through it: by site, by kind of token, and token by token.
#pragma once

#include <array>
#include <vector>

#include "adapter/routed.h"
#include "text/token_class.h"

namespace gaggle {

// Whose token it is: the prompt's (what an encoder reads included) or the answer's.
enum class TokenPart { prompt, answer };
inline constexpr std::array<const char*, 2> token_part_names = {"prompt", "answer"};

// The routing weight over some tokens, at one site or at all that read them. All sums are fp64.
struct WeightSums {
  int64_t tokens = 0;          // as often as a site has read them
  std::vector<double> weight;  // [N] Σ
};

struct SiteSums : WeightSums {
  double entropy = 0;     // Σ over tokens of -Σ_z p_z ln p_z, nats; p: a token's weights over their sum
  int64_t own_first = 0;  // tokens whose first choice is the task's own expert
};

struct RoutingSums {
  std::vector<SiteSums> sites;  // [sites of the base]; without tokens where nothing is routed
  std::array<WeightSums, token_class_names.size()> classes;
  std::array<WeightSums, token_part_names.size()> parts;
};
void add(RoutingSums& to, const RoutingSums& more);

struct RoutedToken {
  std::string text;
  TokenClass kind = TokenClass::other;
  TokenPart part = TokenPart::prompt;
  int first = -1, second = -1;  // the experts with the most weight over all sites that read it; -1: none has any
  double weight = 0, second_weight = 0;  // theirs, as means over these sites
};

// A method's adapter that is watched as long as this lives. Texts are passed whole, behind no cache.
class RoutingWatch : public RoutedAdapter {
 public:
  // `own`: the number of the task's own expert; -1: it has none.
  RoutingWatch(RoutedAdapter& routing, size_t sites, size_t experts, int own, TokenClasses& classes);
  ~RoutingWatch() override { routing_.observe({}); }
  RoutingWatch(const RoutingWatch&) = delete;  // its adapter knows where it is
  void begin(const Microbatch& batch) override;
  void forward(const Site& site, const at::Tensor& x, at::Tensor& y) override { routing_.forward(site, x, y); }

  const RoutingSums& sums() const { return sums_; }  // of all passes so far
  // Of the last pass, what an encoder reads first.
  std::vector<RoutedToken> tokens() const;

 private:
  // The tokens of one side in a pass.
  struct Tokens {
    std::vector<int32_t> ids;
    std::vector<TokenClass> classes;
    std::vector<TokenPart> parts;
    std::vector<double> weight;  // [T, N] Σ over sites
    int64_t sites = 0;           // that have read them
  };
  void chosen(const Site& site, const TokenRouting& routed);
  RoutedToken token(const Tokens& tokens, size_t t) const;

  RoutedAdapter& routing_;
  size_t experts_;
  int own_;
  TokenClasses& classes_;
  RoutingSums sums_;
  BySide<Tokens> pass_;
};

}  // namespace gaggle
