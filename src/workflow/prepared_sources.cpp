// What the methods of an evaluation need prepared: from the registry's cache, or from a file of vectors.
#include <set>

#include "adapter/text_number.h"
#include "base/error.h"
#include "base/file.h"
#include "base/sha256.h"
#include "eval/items.h"
#include "workflow/eval_sources.h"

namespace gaggle {
namespace {

// Vectors of a file (eval.embeddings) for experts by their tasks, and for what is scored by its text.
void take_vectors(const Config& config, const BaseModel& base, const std::vector<std::string>& experts,
                  const std::vector<TokenTask>& tasks, PreparedExperts& prepared) {
  const std::string& file = config.eval.embeddings;
  const std::map<std::string, at::Tensor> vectors = read_vectors(file);
  const auto rows_of = [&](const std::string& task, const std::string& split) {
    const auto found = vectors.find(task + "/" + split);
    if (found == vectors.end() || found->second.dim() != 2)
      user_error("{}: eval.embeddings has no tensor {}/{} [examples, width]; it has {}", file, task, split,
                 vectors.empty() ? "none" : vectors.begin()->first + (vectors.size() > 1 ? ", …" : ""));
    return (found->second / found->second.norm(2, {1}, true).clamp_min(1e-12)).to(base.device());
  };
  for (const std::string& expert : experts) {
    const at::Tensor rows = rows_of(expert, "train");
    prepared.states.push_back(rows.narrow(0, 0, std::min(rows.size(0), config.eval.prepare_examples)));
  }
  const auto by_text = std::make_shared<std::map<uint64_t, at::Tensor>>();
  for (const TokenTask& task : tasks) {
    const auto& examples = task.examples(split_named(config.eval.split, "eval.split"));
    const at::Tensor rows = rows_of(task.name, config.eval.split);
    if (rows.size(0) < static_cast<int64_t>(examples.size()))
      user_error("{}: {}/{} has {} rows, and the task has {} examples there", file, task.name, config.eval.split,
                 rows.size(0), examples.size());
    for (size_t i = 0; i < examples.size(); ++i) {
      const auto& text = examples[i].source.empty() ? examples[i].input : examples[i].source;
      (*by_text)[text_number(text)] = rows[static_cast<int64_t>(i)];
    }
  }
  prepared.query = [by_text, file](uint64_t text) {
    const auto found = by_text->find(text);
    if (found == by_text->end()) user_error("{}: eval.embeddings has no vector of this text", file);
    return found->second;
  };
  prepared.digests["retrieval"] = sha256_hex(read_file(file));
}

}  // namespace

PreparedExperts prepared_for(const Config& config, const Registry& registry, const BaseModel& base,
                             const EvalSources& sources, const std::vector<TokenTask>& tasks) {
  PreparedExperts prepared;
  std::set<std::string> needed;
  for (const Method& method : sources.methods)
    for (const std::string& what : needed_by(method)) needed.insert(what);
  if (needed.contains("retrieval") && !config.eval.embeddings.empty()) {
    take_vectors(config, base, sources.collection.names, tasks, prepared);
    needed.erase("retrieval");
  }
  if (needed.empty()) return prepared;
  const PreparedFiles files(registry, sources.collection_pin, base, config.eval.prepare_examples);
  for (const std::string& what : needed) read_prepared(files, what, base, config.file, prepared);
  return prepared;
}

}  // namespace gaggle
