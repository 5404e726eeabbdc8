// A model's config.json, and the weights that it asks for.
#include "formats/model_files.h"
#include "fuzz.h"

void gaggle::fuzz::try_input(std::string_view bytes) {
  const ModelSpec spec = parse_hf_config(std::string(bytes), "config.json");
  shapes_digest(expected_weights(spec));
  second_names(spec);
}
