#include "train/checkpoint.h"

#include <algorithm>
#include <memory>
#include <system_error>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/sha256.h"
#include "formats/safetensors.h"
#include "kernel/device_stream.h"
#include "train/out_of_memory.h"

namespace gaggle {
namespace {

constexpr const char* tensors_file = "state.safetensors";
constexpr const char* marker_file = "COMPLETE";  // as SHA256SUMS: `sha256sum -c COMPLETE` checks it

std::string marker_of(const std::string& sha256) { return fmt::format("{}  {}\n", sha256, tensors_file); }

struct Place {
  int phase = 0;
  int64_t step = 0;
  fs::path folder;
  auto order() const { return std::pair(phase, step); }
};

// "1-00000100": phase, step.
std::string folder_name(int phase, int64_t step) { return fmt::format("{}-{:08}", phase, step); }

std::vector<Place> complete_places(const fs::path& folder) {
  std::vector<Place> places;
  for (const auto& entry : entries_of(folder)) {
    const std::string name = entry.path().filename().string();
    long long step = 0;
    int phase = 0, used = 0;
    if (std::sscanf(name.c_str(), "%d-%lld%n", &phase, &step, &used) != 2 || static_cast<size_t>(used) != name.size() ||
        !fs::exists(entry.path() / marker_file))
      continue;
    places.push_back({phase, step, entry.path()});
  }
  std::sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.order() > b.order(); });
  return places;
}

Snapshot read_snapshot(const Place& place, const SafetensorsFile& file) {
  Snapshot snapshot{place.phase, place.step, parse_json(file.metadata().at("state")), {}, place.folder};
  for (const TensorView& view : file.tensors()) snapshot.tensors[view.name] = float_tensor(view);
  return snapshot;
}

// To the host's memory: what shares memory is copied once.
void bring_home(Snapshot& snapshot) {
  std::map<const void*, at::Tensor> wholes;  // by where it lay
  for (auto& [name, tensor] : snapshot.tensors) {
    if (tensor.device().is_cpu()) continue;
    at::Tensor& whole = wholes[tensor.storage().data()];
    if (!whole.defined())
      whole =
          tensor.as_strided({static_cast<int64_t>(tensor.storage().nbytes()) / tensor.element_size()}, {1}, 0).cpu();
    tensor = whole.as_strided(tensor.sizes(), tensor.strides(), tensor.storage_offset());
  }
}

void write_snapshot(const fs::path& folder, const std::string& key, const Snapshot& snapshot, int64_t keep) {
  std::vector<TensorView> views;
  std::vector<at::Tensor> alive;
  for (const auto& [name, tensor] : snapshot.tensors) {
    GAGGLE_CHECK(tensor.scalar_type() == at::kFloat, "{}", name);
    alive.push_back(tensor.contiguous());
    views.push_back(tensor_view(name, alive.back()));
  }
  const std::string bytes =
      safetensors_bytes(views, {{"format", "pt"}, {"key", key}, {"state", snapshot.state.dump()}});
  const std::string name = folder_name(snapshot.phase, snapshot.step);
  const fs::path staged = folder / ("." + name + ".part"), final = folder / name;
  fs::remove_all(staged);
  fs::create_directories(staged);
  write_file_durable(staged / tensors_file, bytes);
  fsync_folder(staged);
  fs::remove_all(final);  // an unmarked one of a killed attempt
  fs::rename(staged, final);
  fsync_folder(folder);
  write_file_durable(final / marker_file, marker_of(sha256_hex(bytes)));
  fsync_folder(final);
  const std::vector<Place> places = complete_places(folder);
  for (size_t i = static_cast<size_t>(std::max<int64_t>(1, keep)); i < places.size(); ++i) {
    fs::remove(places[i].folder / marker_file);  // first the marker: no half-removed snapshot looks complete
    fs::remove_all(places[i].folder);
  }
}

}  // namespace

void put_tensors(Snapshot& snapshot, const std::string& prefix, const ParameterLayout& layout, const at::Tensor& flat) {
  for (const ParameterInfo& tensor : layout.tensors())
    snapshot.tensors[prefix + tensor.name] = layout.view(flat, tensor);
}

at::Tensor take_tensors(const Snapshot& snapshot, const std::string& prefix, const ParameterLayout& layout) {
  at::Tensor flat = at::empty({layout.size()}, at::kFloat);
  for (const ParameterInfo& tensor : layout.tensors()) {
    const auto found = snapshot.tensors.find(prefix + tensor.name);
    GAGGLE_CHECK(found != snapshot.tensors.end(), "the checkpoint has no {}{}", prefix, tensor.name);
    GAGGLE_CHECK(found->second.sizes() == at::IntArrayRef(tensor.shape), "{}{} has other sizes in the checkpoint",
                 prefix, tensor.name);
    layout.view(flat, tensor).copy_(found->second);
  }
  return flat;
}

TensorView tensor_view(const std::string& name, const at::Tensor& tensor) {
  const auto type = tensor.scalar_type();
  GAGGLE_CHECK(tensor.is_cpu() && tensor.is_contiguous(), "{}", name);
  GAGGLE_CHECK(type == at::kFloat || type == at::kDouble || type == at::kLong, "{}", name);
  return {name,
          type == at::kLong     ? DType::i64
          : type == at::kDouble ? DType::f64
                                : DType::f32,
          tensor.sizes().vec(),
          {static_cast<const std::byte*>(tensor.const_data_ptr()), tensor.nbytes()}};
}

at::Tensor float_tensor(const TensorView& view) {
  at::Tensor tensor = at::empty(view.shape, at::kFloat);
  to_float(view, {tensor.mutable_data_ptr<float>(), static_cast<size_t>(tensor.numel())});
  return tensor;
}

std::optional<Snapshot> newest_snapshot(const std::vector<fs::path>& folders, const std::string& key,
                                        int64_t last_step) {
  std::vector<Place> places;
  for (const fs::path& folder : folders)
    for (Place& place : complete_places(folder)) places.push_back(std::move(place));
  std::stable_sort(places.begin(), places.end(), [](const auto& a, const auto& b) { return a.order() > b.order(); });
  for (const Place& place : places) {
    if (place.step > last_step) continue;
    try {
      const fs::path path = place.folder / tensors_file;
      const SafetensorsFile file(path);
      if (read_file(place.folder / marker_file) != marker_of(sha256_hex_of_file(path)))
        user_error("{}: it is not as it was written (COMPLETE has another sum)", path.string());
      const auto written_for = file.metadata().find("key");
      if (written_for != file.metadata().end() && written_for->second == key) return read_snapshot(place, file);
      log::warning("{}: a checkpoint of another key is left alone", place.folder.string());
    } catch (const std::exception& damaged) {
      // Training repeats its steps bit for bit: going back costs time alone.
      log::warning("{} · this checkpoint is passed over for an older one, or for the start", error_text(damaged));
    }
  }
  return std::nullopt;
}

SnapshotWriter::SnapshotWriter(fs::path folder, std::string key, int64_t keep)
    : folder_(std::move(folder)), key_(std::move(key)), keep_(keep) {}

void SnapshotWriter::wait() {
  if (!written_.valid()) return;
  try {
    std::exchange(written_, {}).get();
  } catch (const std::exception& error) {
    const auto save = std::exchange(save_, nullptr);
    if (!is_out_of_memory(error)) throw;
    save();
  }
}

void SnapshotWriter::write(Snapshot snapshot) {
  wait();
  at::Device device = at::kCPU;
  for (const auto& [name, tensor] : snapshot.tensors)
    if (!tensor.device().is_cpu()) device = tensor.device();
  save_ = [this, device, made = DevicePoint(device), saved = std::make_shared<Snapshot>(std::move(snapshot))] {
    const OwnStream beside(device);
    made.wait();
    bring_home(*saved);
    write_snapshot(folder_, key_, *saved, keep_);
  };
  const auto once = [this] {
    save_();
    save_ = nullptr;  // its copy of everything goes
  };
  try {
    if (!beside_) beside_ = std::make_unique<SideThread>();
  } catch (const std::system_error&) {
    return once();  // there is no room for a thread: training waits
  }
  written_ = beside_->run(once);
}

}  // namespace gaggle
