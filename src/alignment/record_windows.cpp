// alignment.safetensors.
#include <cstring>
#include <nlohmann/json.hpp>

#include "alignment/record.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "train/checkpoint.h"

namespace gaggle {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(SiteGroup, by, name, sites)

namespace {

using nlohmann::json;

fs::path windows_path(const fs::path& folder) { return folder / "alignment.safetensors"; }

// The tensors of a window by name, the same for writing and reading.
template <class Visit>
void visit(const std::string& prefix, RunningWindow& window, const Visit& what) {
  for (const auto& [name, sums] : {std::pair("full", &window.full), std::pair("halves", &window.halves)}) {
    what(prefix + ".running." + name + ".count", sums->count);
    what(prefix + ".running." + name + ".norm", sums->norm);
    what(prefix + ".running." + name + ".product", sums->product);
  }
}
template <class Visit>
void visit(const std::string& prefix, WindowMatrices& window, const Visit& what) {
  what(prefix + ".complete.cosine", window.cosine);
  what(prefix + ".complete.cosine_count", window.cosine_count);
  what(prefix + ".complete.noise_free", window.noise_free);
  what(prefix + ".complete.noise_free_count", window.noise_free_count);
}

// `when`: "running" or "complete".
template <class Window>
void read_window(const json& state, const char* when, GradientSpace space, const SafetensorsFile& file,
                 std::map<GradientSpace, Window>& windows) {
  const json::json_pointer at(fmt::format("/{}/{}", when, name_of(space)));
  if (!state.contains(at)) return;
  Window& window = windows[space];
  window.measurements = state.at(at).at("measurements");
  window.last_step = state.at(at).at("last_step");
  visit(name_of(space), window, [&](const std::string& name, at::Tensor& to) { to = matrix_of(file, name); });
}

int64_t newest_step(const AlignmentWindows& windows) {
  int64_t step = 0;
  for (const auto& [space, window] : windows.running) step = std::max(step, window.last_step);
  return step;
}

}  // namespace

at::Tensor matrix_of(const SafetensorsFile& file, const std::string& name) {
  const TensorView& view = file.at(name);
  if (view.dtype != DType::i64 && view.dtype != DType::f64)
    user_error("{}: {} is {}, expected F64 or I64", file.name(), view.name, name_of(view.dtype));
  at::Tensor tensor = at::empty(view.shape, view.dtype == DType::i64 ? at::kLong : at::kDouble);
  std::memcpy(tensor.mutable_data_ptr(), view.bytes.data(), view.bytes.size());
  return tensor;
}

void write_windows(const fs::path& folder, const AlignmentWindows& windows) {
  AlignmentWindows held = windows;  // copies share their tensors
  std::vector<TensorView> views;
  const auto put = [&](const std::string& name, at::Tensor& tensor) { views.push_back(tensor_view(name, tensor)); };
  json state = {{"tasks", windows.tasks}, {"groups", windows.groups}, {"window", windows.window}};
  const auto put_all = [&](const char* when, auto& by_space) {
    for (auto& [space, window] : by_space) {
      state[when][name_of(space)] = {{"measurements", window.measurements}, {"last_step", window.last_step}};
      visit(name_of(space), window, put);
    }
  };
  put_all("running", held.running);
  put_all("complete", held.complete);
  fs::create_directories(folder);
  write_file_atomic(windows_path(folder), safetensors_bytes(views, {{"format", "pt"}, {"alignment", state.dump()}}));
}

AlignmentWindows read_windows(const fs::path& folder) {
  const SafetensorsFile file(windows_path(folder));
  const auto found = file.metadata().find("alignment");
  if (found == file.metadata().end()) user_error("{}: not a file of gradient alignment", file.name());
  try {
    const json state = parse_json(found->second);
    AlignmentWindows windows;
    windows.tasks = state.at("tasks");
    windows.window = state.at("window");
    windows.groups = state.at("groups");
    for (const GradientSpace space : {GradientSpace::mixed, GradientSpace::skill}) {
      read_window(state, "running", space, file, windows.running);
      read_window(state, "complete", space, file, windows.complete);
    }
    return windows;
  } catch (const json::exception& error) {
    user_error("{}: not a file of gradient alignment ({})", file.name(), error.what());
  }
}

AlignmentWindows resume_windows(const fs::path& folder, int64_t step, AlignmentWindows fresh) {
  truncate_steps(folder, step);
  if (!fs::exists(windows_path(folder))) return fresh;
  AlignmentWindows stored = read_windows(folder);
  if (newest_step(stored) <= step && stored.tasks == fresh.tasks && stored.groups == fresh.groups &&
      stored.window == fresh.window)
    return stored;
  log::warning("{}: of another point or setting of this run; the window of alignment begins anew",
               windows_path(folder).string());
  return fresh;
}

}  // namespace gaggle
