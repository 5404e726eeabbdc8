"""What `cmake --install` puts into a prefix works there, with nothing of the clone on PATH."""
import subprocess

import pytest


@pytest.fixture(scope="module")
def prefix(root, build, tmp_path_factory):
    folder = tmp_path_factory.mktemp("install") / "prefix"
    subprocess.run([root / ".venv/bin/cmake", "--install", build, "--prefix", folder], check=True, capture_output=True)
    return folder


def in_a_bare_shell(folder, command):
    return subprocess.run(["bash", "-c", f". {folder}/share/gaggle/launch/env.sh; {command}"], cwd="/", text=True,
                          capture_output=True, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)})


def test_the_installed_program_is_found_and_starts(prefix):
    done = in_a_bare_shell(prefix, "command -v gaggle; gaggle --version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{prefix}/bin/gaggle\ngaggle ")


def test_the_installed_launch_script_starts_ranks_of_it(prefix):
    done = in_a_bare_shell(prefix, f"{prefix}/share/gaggle/launch/local.sh -n 2 doctor /nowhere.toml")
    assert done.returncode == 2 and "/nowhere.toml" in done.stderr


def test_no_program_of_the_tests_is_installed(prefix):
    assert [path.name for path in (prefix / "bin").iterdir()] == ["gaggle"]


def test_configs_and_tools_lie_beside_it(prefix):
    share = prefix / "share/gaggle"
    assert (share / "configs/base.toml").exists()
    done = in_a_bare_shell(prefix, f"python3 {share}/tools/tasks.py --help")
    assert done.returncode == 0, done.stderr
    done = in_a_bare_shell(prefix, "gaggle report /nowhere")
    assert done.returncode == 2 and "/nowhere: no such file or folder" in done.stderr


def test_the_man_page_and_the_shells_completion_lie_where_they_look(prefix):
    for page, word in [("man/man1/gaggle.1", ".TH"), ("bash-completion/completions/gaggle", "complete"),
                       ("zsh/site-functions/_gaggle", "#compdef gaggle"), ("fish/vendor_completions.d/gaggle.fish", "complete -c gaggle")]:
        assert word in (prefix / "share" / page).read_text(), page
