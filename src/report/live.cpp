#include "report/live.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/clock.h"
#include "base/terminal.h"

namespace gaggle {
namespace {

// mpirun gives its ranks a pseudo terminal even where its own output is a file: then its own output decides.
bool is_terminal(std::FILE* out) {
  if (::isatty(::fileno(out)) != 1) return false;
  if (!std::getenv("PMIX_RANK") && !std::getenv("OMPI_COMM_WORLD_RANK")) return true;
  std::error_code failed;
  const auto launcher = std::filesystem::read_symlink("/proc/" + std::to_string(::getppid()) + "/fd/1", failed);
  const std::string name = launcher.string();
  return !failed && (name.starts_with("/dev/pts/") || name.starts_with("/dev/tty"));
}

size_t terminal_width(std::FILE* out) {
  winsize size{};
  return ::ioctl(::fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 120;
}

// Cut to `width` code points: a wrapped line could not be redrawn.
std::string cut(const std::string& line, size_t width) {
  size_t points = 0;
  for (size_t i = 0; i < line.size(); ++i)
    if ((static_cast<unsigned char>(line[i]) & 0xC0) != 0x80 && ++points > width) return line.substr(0, i);
  return line;
}

}  // namespace

LiveView::LiveView(std::FILE* out, double plain_every)
    : out_(out), terminal_(is_terminal(out)), plain_every_(plain_every) {}

LiveView::~LiveView() { std::fflush(out_); }

void LiveView::erase() {
  for (size_t i = 0; i < drawn_.size(); ++i) std::fputs("\033[1A\033[2K", out_);
  drawn_.clear();
}

void LiveView::draw(const std::vector<WorkerStatus>& workers, double share, const std::string& words) {
  size_t width = 0;
  for (const auto& worker : workers) width = std::max(width, worker.progress.item.size());
  std::vector<std::string> lines;
  for (const auto& worker : workers) lines.push_back(shown(progress_line(worker, width)));
  if (terminal_) {
    lines.push_back(progress_bar(share, words));
    for (auto& line : lines) line = cut(line, terminal_width(out_));
    if (lines == drawn_) return;
    erase();
    drawn_ = lines;
  } else {
    const double now = monotonic_seconds();
    if (now - last_plain_ < plain_every_) return;
    last_plain_ = now;
    lines.push_back(words);
  }
  for (const auto& line : lines) std::fprintf(out_, "%s\n", line.c_str());
  std::fflush(out_);
}

void LiveView::say(const std::string& line) {
  const auto standing = drawn_;
  erase();
  std::fprintf(out_, "%s\n", visible(line).c_str());
  for (const auto& old : standing) std::fprintf(out_, "%s\n", old.c_str());
  drawn_ = standing;
  std::fflush(out_);
}

}  // namespace gaggle
