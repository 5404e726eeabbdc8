// What a reader has against a file.
#pragma once

#include <span>
#include <string>

#include "base/error.h"

namespace gaggle {

// The message with which File refuses these bytes, "some.file" being their name; "": it takes them.
template <class File>
std::string refusal(const std::string& bytes) {
  try {
    const File file(std::as_bytes(std::span(bytes)), "some.file");
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

}  // namespace gaggle
