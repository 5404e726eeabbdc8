"""What the tests of tokenizers ask the probe, and how its answers are compared."""
import json


def ask(probe, command, path, values, *options):
    text = "\n".join(json.dumps(value) for value in values) + "\n"
    out = probe.run(command, path, *options, stdin=text.encode()).stdout.decode()
    return [json.loads(line) for line in out.split("\n") if line]


def assert_same(reference, texts, ids):
    assert len(ids) == len(texts)
    for text, one in zip(texts, ids):
        assert one == reference(text), f"{text!r}"
