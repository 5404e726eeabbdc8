// What `gaggle prepare` has made of a collection's experts and their tasks, for methods that routing knows too little for
// without: one file of the registry's cache for each expert.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "adapter/ruled_routing.h"
#include "library/kept_tensors.h"
#include "library/lora.h"
#include "registry/pins.h"

namespace gaggle {

// Where they lie. `what`: "average", "retrieval", "best", or "stats NAME" with the name of some scores.
class PreparedFiles {
 public:
  // `examples`: of each expert's task, at most (eval.prepare_examples).
  PreparedFiles(const Registry& registry, const std::string& collection, const BaseModel& base, int64_t examples);
  const std::vector<Version>& experts() const { return members_.experts; }
  const std::string& pin() const { return members_.name; }

  std::filesystem::path file(const std::string& what, size_t expert) const;
  // Whether it is there and is of these examples.
  bool is_there(const std::string& what, size_t expert, const std::string& digest_of_examples) const;
  void keep(const std::string& what, size_t expert, const std::string& digest_of_examples,
            const std::vector<TensorToKeep>& tensors) const;
  // nullptr: not prepared, or damaged.
  std::unique_ptr<MappedFile> open(const std::string& what, size_t expert) const;

 private:
  Registry registry_;
  ExpertSet members_;
  std::string base_, pins_;  // pins_: of all experts
};

struct PreparedExperts {
  std::vector<std::vector<at::Tensor>> averages;  // [sites][N] mean input of a site with the expert active, fp32 [d_in]
  std::vector<at::Tensor> states;                 // [N] vectors of examples, [n, d] of length 1
  std::map<std::string, std::vector<Calibration>> statistics;  // by the scores' name: [sites]
  std::function<at::Tensor(uint64_t text)> query = {};         // of vectors from a file
  std::string best;                                            // the expert that is best on average
  std::map<std::string, std::string> digests;                  // of what was read, by `what`
};

// Reads `what` of all experts. Throws UserError naming `gaggle prepare` where one is not prepared.
void read_prepared(const PreparedFiles& files, const std::string& what, const BaseModel& base,
                   const std::string& config, PreparedExperts& prepared);

// Tensors of a plain safetensors file by name, in fp32. Throws UserError.
std::map<std::string, at::Tensor> read_vectors(const std::filesystem::path& file);

}  // namespace gaggle
