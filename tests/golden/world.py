"""The tiny bases and tasks that the stories of tests/golden.sh are told with."""
import make_models
import workshop


def make_world(folder, kind):
    folder.mkdir(parents=True)
    if kind == "t5":
        make_models.make_t5(folder / "base", "t5-v1.1", seed=3, num_layers=2)
        workshop.write_unigram(folder / "base")
    else:
        make_models.make_model(folder / "base", kind, seed=3, num_hidden_layers=2)
        workshop.write_tokenizer(folder / "base")
    workshop.write_tasks(folder / "tasks")
