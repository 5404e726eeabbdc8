// The terminal as a screen: how wide it is, and lines that stand at its end and are redrawn in place. Whatever else is
// printed goes above them.
#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace gaggle {

// Columns of the terminal that standard output ends in (of ranks: that of mpirun's), nullopt: it is a pipe or a file.
std::optional<size_t> output_columns();
// The same of standard error.
std::optional<size_t> error_columns();

// Whether lines can stand: standard output, else standard error, is a terminal that is not "dumb"; and its columns.
bool lines_can_stand();
std::optional<size_t> standing_columns();
// These lines stand from now on, in place of those that stood; {}: none. They are cut to the terminal's width and height,
// anew whenever these have changed since.
void stand(std::vector<std::string> lines);
// Whether any stand.
bool lines_stand();

// The standing lines are off the screen while it lives; whoever writes to standard output or standard error holds one.
class AsideForText {
 public:
  // `text`: what is about to be written. Lines stand again once it has ended its line.
  explicit AsideForText(std::string_view text);
  ~AsideForText();
  AsideForText(const AsideForText&) = delete;
  AsideForText& operator=(const AsideForText&) = delete;

 private:
  std::lock_guard<std::mutex> lock_;
};

size_t columns_of(std::string_view text);                   // code points
std::string cut_to(std::string_view text, size_t columns);  // at a code point
// Each line broken at spaces into lines of at most `columns` code points, those after its first indented; a longer word
// stays whole.
std::string wrapped(std::string_view text, size_t columns, size_t indent = 0);

}  // namespace gaggle
