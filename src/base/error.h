// Errors of two kinds: the user's (exit code 2, a sentence that says what to do) and our broken assumptions.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>

namespace gaggle {

// Exit codes of the program; what each promises stands in docs/architecture.md.
enum class Exit { done = 0, failed = 1, bad_input = 2, some_set_aside = 3, stopped = 4, resumable = 75 };

// The user's mistake: bad command line, config or input file. The message names file:line or the option,
// what was expected, and what to do. Thrown before anything is written.
struct UserError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> format, Args&&... args) {
  throw UserError(fmt::format(format, std::forward<Args>(args)...));
}

// A value that is NaN or infinite where none may be: the message names it and its place. The same work would end so
// again.
struct NotFinite : UserError {
  using UserError::UserError;
};

// A failure of the surroundings (disk, network, another process): worth a retry, exit code 1.
struct SystemError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What the system says of a path that was named to us: links in a circle, a name too long, a file for a folder, a socket,
// not allowed.
bool is_the_users(const std::error_code& reason);

template <class... Args>
[[noreturn]] void system_error(fmt::format_string<Args...> format, Args&&... args) {
  throw SystemError(fmt::format(format, std::forward<Args>(args)...));
}

// "A: B: C": an error's words, then those of what caused it, and so on down the chain.
std::string error_text(const std::exception& error);

// To be called while an exception is handled: throws a SystemError that carries it as its cause.
template <class... Args>
[[noreturn]] void system_error_because(fmt::format_string<Args...> format, Args&&... args) {
  std::throw_with_nested(SystemError(fmt::format(format, std::forward<Args>(args)...)));
}

[[noreturn]] void check_failed(const char* file, int line, const char* condition, const std::string& why);

}  // namespace gaggle

// An assumption of our own code; stays on in release builds. Throws std::logic_error.
#define GAGGLE_CHECK(condition, ...)                                                                         \
  do {                                                                                                       \
    if (!(condition)) ::gaggle::check_failed(__FILE__, __LINE__, #condition, ::fmt::format("" __VA_ARGS__)); \
  } while (false)
