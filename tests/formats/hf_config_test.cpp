// Numbers of a config.json that no model has are refused before names of tensors are made from them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "formats/model_files.h"

namespace gaggle {
namespace {

std::string config_json(const char* layers, const char* width) {
  return fmt::format(R"({{"model_type": "llama", "hidden_size": {}, "intermediate_size": 8, "num_hidden_layers": {},)"
                     R"( "num_attention_heads": 2, "vocab_size": 16, "max_position_embeddings": 64}})",
                     width, layers);
}

std::string refusal_of_config(const std::string& text) {
  try {
    parse_hf_config(text, "config.json");
  } catch (const UserError& error) {
    return error.what();
  }
  return "none";
}

TEST(HfConfig, SizesOfNoModelAreRefused) {
  EXPECT_EQ(refusal_of_config(config_json("2", "8")), "none");
  EXPECT_EQ(refusal_of_config(config_json("1000000", "8")), "config.json: 1000000 layers; expected at most 10000");
  EXPECT_NE(refusal_of_config(config_json("2", "1000000000")).find("config.json: hidden_size is 1000000000"),
            std::string::npos);
  EXPECT_NE(refusal_of_config(config_json("2", std::string(200'000, '[').c_str())).find("nested deeper"),
            std::string::npos);
}

TEST(HfConfig, LayersOfTheWindowAreAWholeNumber) {
  const auto config = [](const char* layers) {
    return fmt::format(R"({{"model_type": "qwen2", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,)"
                       R"( "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 16,)"
                       R"( "max_position_embeddings": 64, "use_sliding_window": true, "max_window_layers": {}}})",
                       layers);
  };
  EXPECT_EQ(refusal_of_config(config("0")), "none");
  for (const char* layers : {"1e300", "0.5", "-1", "18446744073709551615"})
    EXPECT_NE(refusal_of_config(config(layers)).find("config.json: max_window_layers is "), std::string::npos)
        << layers;
}

}  // namespace
}  // namespace gaggle
