// SHA-256, for keys and for the registry's SHA256SUMS.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

struct evp_md_ctx_st;  // OpenSSL's

namespace gaggle {

class Sha256 {
 public:
  Sha256();
  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  // 64 lower-case hex digits. May be called once.
  std::string hex();

 private:
  std::unique_ptr<evp_md_ctx_st, void (*)(evp_md_ctx_st*)> context_;
};

std::string sha256_hex(std::string_view text);

// A file whose damage shows: the digest of its contents stands before them.
inline constexpr size_t seal_bytes = 64;
std::string sealed(std::string_view contents);
bool is_sealed(std::span<const std::byte> file);
std::string sha256_hex_of_file(const std::filesystem::path& path);

}  // namespace gaggle
