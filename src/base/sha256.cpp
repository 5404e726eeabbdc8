#include "base/sha256.h"

#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"
#include "base/file.h"

namespace gaggle {

Sha256::Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
  GAGGLE_CHECK(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
}

Sha256& Sha256::update(std::span<const std::byte> bytes) {
  GAGGLE_CHECK(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
  return *this;
}

Sha256& Sha256::update(std::string_view text) { return update(std::as_bytes(std::span(text))); }

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  GAGGLE_CHECK(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_hex(std::string_view text) { return Sha256().update(text).hex(); }

std::string sealed(std::string_view contents) { return sha256_hex(contents).append(contents); }

bool is_sealed(std::span<const std::byte> file) {
  if (file.size() < seal_bytes) return false;
  const std::string_view seal(reinterpret_cast<const char*>(file.data()), seal_bytes);
  return Sha256().update(file.subspan(seal_bytes)).hex() == seal;
}

std::string sha256_hex_of_file(const std::filesystem::path& path) {
  const Descriptor file = open_to_read(path);
  Sha256 digest;
  struct stat info {};
  if (::fstat(file.fd, &info) != 0) system_error("{}: cannot be read ({})", path.string(), std::strerror(errno));
  std::vector<std::byte> buffer(static_cast<size_t>(std::clamp<off_t>(info.st_size, 1, 1 << 20)));
  for (;;) {
    const ssize_t got = ::read(file.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) system_error("{}: cannot be read ({})", path.string(), std::strerror(errno));
    if (got == 0) break;
    digest.update(std::span(buffer).first(static_cast<size_t>(got)));
  }
  return digest.hex();
}

}  // namespace gaggle
