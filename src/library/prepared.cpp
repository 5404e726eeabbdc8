#include "library/prepared.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/sha256.h"
#include "library/collection.h"
#include "registry/cache.h"
#include "registry/pins.h"

namespace gaggle {
namespace {

// Of an earlier form nothing is read.
constexpr int form_of_prepared = 1;

// Of these an expert and its task are all that counts; of others the collection is.
bool of_one_expert(const std::string& what) { return what == "average" || what == "retrieval"; }

// Each expert's file, or a sentence on what to do.
std::vector<std::unique_ptr<MappedFile>> open_all(const PreparedFiles& files, const std::string& what,
                                                  const std::string& config) {
  std::vector<std::unique_ptr<MappedFile>> all;
  std::vector<std::string> missing;
  for (size_t z = 0; z < files.experts().size(); ++z) {
    all.push_back(files.open(what, z));
    if (!all.back()) missing.push_back(files.experts()[z].name);
  }
  if (!missing.empty())
    user_error("{} is not prepared for {} of the {} experts of {} ({}{}): run `gaggle prepare {}` first", what,
               missing.size(), all.size(), files.pin(), missing[0], missing.size() > 1 ? ", …" : "", config);
  return all;
}

void read_averages(const std::vector<std::unique_ptr<MappedFile>>& files, const BaseModel& base,
                   PreparedExperts& prepared) {
  const size_t sites = base.sites().size();
  prepared.averages.assign(sites, std::vector<at::Tensor>(files.size()));
  for (size_t z = 0; z < files.size(); ++z) {
    const SafetensorsFile tensors = kept_tensors(*files[z]);
    for (size_t s = 0; s < sites; ++s)
      if (tensors.find(base.sites()[s].name))
        prepared.averages[s][z] = kept_tensor(tensors, base.sites()[s].name).to(base.device());
  }
}

// Mean and standard deviation of every expert's scores over all tokens, in the order of the experts whose tasks they are of.
std::vector<Calibration> read_statistics(const std::vector<std::unique_ptr<MappedFile>>& files, const BaseModel& base) {
  const auto n = static_cast<int64_t>(files.size());
  std::vector<Calibration> sites;
  for (const Site& site : base.sites()) {
    at::Tensor sums = at::zeros({n}, at::kDouble), squares = sums.clone();
    double tokens = 0;
    for (const auto& file : files) {
      const SafetensorsFile tensors = kept_tensors(*file);
      if (!tensors.find(site.name + ".sums")) continue;
      sums += kept_tensor(tensors, site.name + ".sums");
      squares += kept_tensor(tensors, site.name + ".squares");
      tokens += kept_tensor(tensors, site.name + ".tokens").item<double>();
    }
    const at::Tensor mean = sums / std::max(tokens, 1.0);
    const at::Tensor deviation = (squares / std::max(tokens, 1.0) - mean.square()).clamp_min(0).sqrt();
    // Scores that are always the same say nothing, and keep their size.
    const at::Tensor factor = at::where(deviation > 0, deviation.reciprocal(), at::ones_like(deviation));
    sites.push_back({mean.to(base.device(), at::kFloat), factor.to(base.device(), at::kFloat)});
  }
  return sites;
}

// The lowest mean over tasks of the nll per token; the first of equals.
std::string best_of_all(const std::vector<std::unique_ptr<MappedFile>>& files, const std::vector<Version>& experts) {
  std::vector<double> means;
  for (const auto& file : files) means.push_back(kept_tensor(kept_tensors(*file), "nll").mean().item<double>());
  std::ranges::replace_if(
      means, [](double mean) { return !std::isfinite(mean); }, INFINITY);
  return experts[static_cast<size_t>(std::ranges::min_element(means) - means.begin())].name;
}

}  // namespace

PreparedFiles::PreparedFiles(const Registry& registry, const std::string& collection, const BaseModel& base,
                             int64_t examples)
    : registry_(registry),
      members_(members_of(registry, collection)),
      base_(fmt::format("prepared {} {} {} {}", form_of_prepared, at::toString(base.dtype()), base.content_digest(),
                        examples)) {
  for (const Version& expert : members_.experts) pins_ += pinned(expert) + "\n";
}

std::filesystem::path PreparedFiles::file(const std::string& what, size_t expert) const {
  if (of_one_expert(what))
    return cache_file(registry_, experts()[expert], fmt::format("{} {}\n{}", base_, what, pinned(experts()[expert])));
  return cache_file(registry_, members_.keeper, fmt::format("{} {} {}\n{}", base_, what, expert, pins_));
}

std::unique_ptr<MappedFile> PreparedFiles::open(const std::string& what, size_t expert) const {
  return open_cache(registry_, file(what, expert));
}

bool PreparedFiles::is_there(const std::string& what, size_t expert, const std::string& digest_of_examples) const {
  const auto kept = open(what, expert);
  return kept && kept_tensors(*kept).metadata().at("examples") == digest_of_examples;
}

void PreparedFiles::keep(const std::string& what, size_t expert, const std::string& digest_of_examples,
                         const std::vector<TensorToKeep>& tensors) const {
  const fs::path place = file(what, expert);
  if (!keep_in_cache(registry_, place, kept_bytes(tensors, {{"examples", digest_of_examples}, {"what", what}})))
    system_error("{}: could not be written", place.string());
}

void read_prepared(const PreparedFiles& files, const std::string& what, const BaseModel& base,
                   const std::string& config, PreparedExperts& prepared) {
  const auto all = open_all(files, what, config);
  Sha256 digest;
  for (const auto& file : all) digest.update(file->bytes());
  prepared.digests[what] = digest.hex();
  if (what == "average") {
    read_averages(all, base, prepared);
  } else if (what == "retrieval") {
    for (const auto& file : all)
      prepared.states.push_back(kept_tensor(kept_tensors(*file), "states").to(base.device()));
  } else if (what == "best") {
    prepared.best = best_of_all(all, files.experts());
  } else {
    GAGGLE_CHECK(what.starts_with("stats "));
    prepared.statistics[what.substr(6)] = read_statistics(all, base);
  }
}

std::map<std::string, at::Tensor> read_vectors(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  std::map<std::string, at::Tensor> vectors;
  for (const TensorView& view : file.tensors()) {
    at::Tensor values = at::empty(view.shape, at::kFloat);
    to_float(view, {values.data_ptr<float>(), static_cast<size_t>(values.numel())});
    vectors[view.name] = values;
  }
  return vectors;
}

}  // namespace gaggle
