#include "base/screen.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>

namespace gaggle {
namespace {

struct ScreenSize {
  size_t columns = 0, rows = 0;
  bool operator==(const ScreenSize&) const = default;
};

bool under_mpirun() { return std::getenv("PMIX_RANK") || std::getenv("OMPI_COMM_WORLD_RANK"); }

// The terminal that standard output ends in; -1: none. mpirun gives its ranks a pseudo terminal even where its own output
// is a file: then its own output decides, and has the size.
int output_terminal() {
  static const int terminal = [] {
    if (::isatty(STDOUT_FILENO) != 1) return -1;
    if (!under_mpirun()) return STDOUT_FILENO;
    std::error_code failed;
    const auto launcher = std::filesystem::read_symlink("/proc/" + std::to_string(::getppid()) + "/fd/1", failed);
    const std::string name = launcher.string();
    if (failed || !(name.starts_with("/dev/pts/") || name.starts_with("/dev/tty"))) return -1;
    const int its = ::open(name.c_str(), O_RDONLY | O_NOCTTY | O_CLOEXEC);
    return its < 0 ? STDOUT_FILENO : its;
  }();
  return terminal;
}

int error_terminal() { return ::isatty(STDERR_FILENO) == 1 && !under_mpirun() ? STDERR_FILENO : -1; }

// A terminal that does not say its size is taken for one of 80 columns.
ScreenSize size_of(int terminal) {
  winsize size{};
  const bool known = ::ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? ScreenSize{size.ws_col, size.ws_row > 0 ? size.ws_row : size_t{24}} : ScreenSize{80, 24};
}

struct Standing {
  std::mutex mutex;
  std::vector<std::string> lines;  // whole, as they were given
  std::vector<std::string> drawn;  // as they are on the screen; empty: none is
  bool line_is_open = false;       // what was printed last has not ended its line
};
Standing standing;

// Whatever else is written has been flushed.
void draw(std::string_view text) {
  const int stage = output_terminal() >= 0 ? STDOUT_FILENO : STDERR_FILENO;
  while (!text.empty()) {
    const ssize_t written = ::write(stage, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;  // a view that cannot be drawn stops nothing
    text.remove_prefix(static_cast<size_t>(written));
  }
}

// The cursor waits at the beginning of the first standing line: wherever a terminal puts that when it is resized, and
// however many rows its lines take then, all below it is ours.
void take_away() {
  if (standing.drawn.empty()) return;
  draw("\r\033[J");
  standing.drawn.clear();
}

std::vector<std::string> fitting(const std::vector<std::string>& lines) {
  const ScreenSize size = size_of(output_terminal() >= 0 ? output_terminal() : STDERR_FILENO);
  std::vector<std::string> out = lines;
  // The last line has the sum of all: lines before it give way.
  const size_t most = std::max<size_t>(2, size.rows - 1);
  if (out.size() > most) {
    out.erase(out.begin() + static_cast<std::ptrdiff_t>(most) - 2, out.end() - 1);
    out.insert(out.end() - 1, "… and " + std::to_string(lines.size() - most + 1) + " more");
  }
  for (std::string& line : out) line = cut_to(line, size.columns - 1);
  return out;
}

void put_back() {
  if (standing.lines.empty() || standing.line_is_open || !lines_can_stand()) return;
  std::vector<std::string> wanted = fitting(standing.lines);
  if (wanted == standing.drawn) return;
  take_away();
  std::string text;
  for (const std::string& line : wanted) text += (text.empty() ? "" : "\n") + line;
  text += "\r";
  if (wanted.size() > 1) text += "\033[" + std::to_string(wanted.size() - 1) + "A";
  draw(text);
  standing.drawn = std::move(wanted);
}

}  // namespace

std::optional<size_t> output_columns() {
  return output_terminal() < 0 ? std::nullopt : std::optional(size_of(output_terminal()).columns);
}

std::optional<size_t> error_columns() {
  return error_terminal() < 0 ? std::nullopt : std::optional(size_of(error_terminal()).columns);
}

bool lines_can_stand() {
  static const bool dumb = [] {
    const char* term = std::getenv("TERM");
    return !term || std::string_view(term) == "dumb" || !*term;
  }();
  return !dumb && (output_terminal() >= 0 || error_terminal() >= 0);
}

std::optional<size_t> standing_columns() {
  if (!lines_can_stand()) return std::nullopt;
  return output_terminal() >= 0 ? output_columns() : error_columns();
}

void stand(std::vector<std::string> lines) {
  const std::lock_guard lock(standing.mutex);
  standing.lines = std::move(lines);
  if (standing.lines.empty())
    take_away();
  else
    put_back();
}

bool lines_stand() {
  const std::lock_guard lock(standing.mutex);
  return !standing.lines.empty();
}

AsideForText::AsideForText(std::string_view text) : lock_(standing.mutex) {
  take_away();
  if (!text.empty()) standing.line_is_open = text.back() != '\n';
}

AsideForText::~AsideForText() { put_back(); }

size_t columns_of(std::string_view text) {
  return static_cast<size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string cut_to(std::string_view text, size_t columns) {
  size_t points = 0;
  for (size_t i = 0; i < text.size(); ++i)
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80 && ++points > columns)
      return std::string(text.substr(0, i));
  return std::string(text);
}

namespace {

std::string wrapped_line(std::string_view text, size_t columns, size_t indent) {
  std::string out;
  size_t used = 0;
  for (bool begun = false; !text.empty(); begun = true) {
    const size_t spaces = std::min(text.find_first_not_of(' '), text.size());
    const std::string_view word = text.substr(spaces, text.substr(spaces).find(' '));
    const size_t width = columns_of(word);
    if (begun && !word.empty() && used + spaces + width > columns) {
      out += "\n" + std::string(indent, ' ');
      used = indent;
    } else {
      out.append(spaces, ' ');
      used += spaces;
    }
    out += word;
    used += width;
    text.remove_prefix(spaces + word.size());
  }
  return out;
}

}  // namespace

std::string wrapped(std::string_view text, size_t columns, size_t indent) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += wrapped_line(text.substr(0, end), columns, indent);
    if (end < text.size()) out += '\n';
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace gaggle
