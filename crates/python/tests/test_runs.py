"""Runs: trained, opened again, asked about photos and about features."""

import json
import pickle
import warnings

import numpy as np
import pytest
from conftest import BACKBONE, COLOURS, drawn

import rehead

# The drawn photos are alike, and photos that are left out are warned of.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*nearly the same:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*left out:UserWarning"),
]


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "run"
    return rehead.train(photos, out=out, backbone=BACKBONE, engine="cpu", store=False, duplicates="apart")


def test_a_training_is_that_of_the_command_line(run, photos, command, tmp_path):
    command("train", photos, "--backbone", BACKBONE, "--out", tmp_path / "run", "--no-store", "--duplicates", "apart")
    for name in ("model.safetensors", "predictions.csv", "parts.json", "known.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (run.folder / name).read_bytes(), name
    assert run.classes == sorted(COLOURS)
    assert run.metrics == json.loads((run.folder / "metrics.json").read_text())
    assert run.config["train"]["optimizer"]["name"] == "lbfgs"


def test_settings_reach_the_training(photos, tmp_path):
    settings = {"l2": 0.5, "scaling": "each", "folds": 4, "seed": 7, "class_weights": "balanced", "test": 0.25}
    run = rehead.train(
        photos, out=tmp_path / "run", backbone=[BACKBONE], engine="cpu", batch=5, duplicates="apart", **settings
    )
    train, split = run.config["train"], run.config["split"]
    assert (train["optimizer"]["l2"], train["optimizer"]["scaling"], train["optimizer"]["folds"]) == (0.5, "each", 4)
    assert (train["class_weights"], train["seed"]) == ("balanced", 7)
    assert (split["seed"], split["test"], split["duplicates"], run.config["batch"]) == (7, 0.25, "apart", 5)


def test_predictions_are_those_of_the_command_line(run, paths, command, tmp_path):
    news = {name: drawn(colour, 40 + index) for index, (name, colour) in enumerate(COLOURS.items())}
    files = []
    for name, content in news.items():
        files.append(tmp_path / f"{name}.png")
        files[-1].write_bytes(content)
    said = run.predict(news.values())
    told = json.loads(command("predict", run.folder, *files, "--json", "--top", "3"))
    assert said.labels == [photo["predictions"][0]["label"] for photo in told["photos"]] == list(news)
    for row, photo in zip(said.probabilities, told["photos"]):
        expected = {guess["label"]: guess["probability"] for guess in photo["predictions"]}
        assert dict(zip(run.classes, row)) == pytest.approx(expected, abs=1e-12)
    assert run.predict(files).probabilities.tobytes() == said.probabilities.tobytes()
    np.testing.assert_allclose(said.probabilities.sum(axis=1), 1, atol=1e-12)


def test_what_cannot_be_read_is_told_by_row(run):
    said = run.predict([None, drawn(COLOURS["red"], 50), b"no photo"], errors="row")
    assert said.labels == [None, "red", None]
    assert [error is None for error in said.errors] == [False, True, False]
    assert np.isnan(said.probabilities[[0, 2]]).all()
    with pytest.raises(rehead.InputError, match="row 0"):
        run.predict([b"no photo"])


def test_sets_hold_the_true_class_as_often_as_asked(run, paths):
    said = run.predict(paths[:6], coverage=0.9)
    assert all("blue" in classes for classes in said.sets)
    assert run.predict(paths[:1]).sets == [None]
    with pytest.raises(rehead.UsageError, match="coverage"):
        run.predict(paths[:1], coverage=1.5)


def test_the_head_says_of_features_what_the_run_says_of_photos(run, paths):
    features = rehead.Extractor(BACKBONE, engine="cpu").embed(paths)
    said, expected = run.head.predict(features), run.predict(paths)
    assert said.labels == expected.labels
    assert said.probabilities.tobytes() == expected.probabilities.tobytes()
    head = run.head
    twin = features.astype(np.float64) @ head.weight.astype(np.float64).T + head.bias
    # Each logit is rounded once, to half of its last digit.
    np.testing.assert_allclose(head.logits(features), twin, rtol=2**-23, atol=1e-12)
    again = pickle.loads(pickle.dumps(head))
    assert again.predict(features).labels == said.labels
    with pytest.raises(rehead.InputError, match="row of features"):
        head.predict(features[:, 1:])
    with pytest.raises(ValueError, match="classes"):
        rehead.Head(head.weight, head.bias, ["one"])
    with pytest.raises(ValueError, match="matrix"):
        head.predict(features[0])


def test_a_run_can_be_opened_and_pickled(run, paths):
    opened = rehead.load_run(run.folder, engine="cpu")
    again = pickle.loads(pickle.dumps(opened))
    assert opened.classes == again.classes == run.classes
    assert again.predict(paths[:2]).labels == run.predict(paths[:2]).labels == ["blue"] * 2


def test_a_run_of_features_takes_features(run, photos, paths, command, tmp_path):
    features, labels = tmp_path / "features.npy", tmp_path / "labels.csv"
    np.save(features, rehead.Extractor(BACKBONE, engine="cpu").embed(paths))
    labels.write_text("label\n" + "".join(f"{path.parent.name}\n" for path in paths))
    command("train", "--features", features, "--labels", labels, "--out", tmp_path / "run")
    made = rehead.load_run(tmp_path / "run")
    assert made.head.predict(np.load(features)).labels.count("red") == 12
    with pytest.raises(rehead.InputError, match=r"head\.predict"):
        made.predict(paths[:1])


def test_a_run_of_several_labels_names_all_of_them(photos, paths, command, tmp_path):
    table = tmp_path / "photos.csv"
    labels = {"blue": "cold;wet", "green": "wet", "red": ";"}
    rows = [f"{path},{labels[path.parent.name]}\n" for path in paths]
    table.write_text("path,labels\n" + "".join(rows))
    run = rehead.train(
        table, out=tmp_path / "run", backbone=BACKBONE, engine="cpu", store=False, duplicates="apart"
    )
    said = run.predict(paths[::6])
    told = json.loads(command("predict", run.folder, *paths[::6], "--json", "--top", "2"))["photos"]
    assert run.classes == ["cold", "wet"]
    assert said.named == [sorted(guess["label"] for guess in photo["labels"]) for photo in told]
    assert said.named == [["cold", "wet"]] * 2 + [["wet"]] * 2 + [[]] * 2
    for row, photo in zip(said.probabilities, told):
        expected = {guess["label"]: guess["probability"] for guess in photo["predictions"]}
        assert dict(zip(run.classes, row)) == pytest.approx(expected, abs=1e-12)
    head = pickle.loads(pickle.dumps(run.head))
    of_rows = head.predict(rehead.Extractor(BACKBONE, engine="cpu").embed(paths[::6]))
    assert (of_rows.named, of_rows.labels) == (said.named, said.labels)
    assert of_rows.probabilities.tobytes() == said.probabilities.tobytes()
    with pytest.raises(ValueError, match="thresholds"):
        rehead.Head(head.weight, head.bias, head.classes, [0.5])


def test_errors_say_what_helps(run, photos, tmp_path):
    again = {"out": run.folder, "backbone": BACKBONE, "engine": "cpu"}
    with pytest.raises(rehead.UsageError, match="force=True") as raised:
        rehead.train(photos, **again)
    assert "force=True" in raised.value.remedy
    with pytest.raises(rehead.InputError, match="no model.safetensors"):
        rehead.load_run(tmp_path)
    with pytest.raises(rehead.InputError, match="no such folder"):
        rehead.train(tmp_path / "none", **again)
    with pytest.raises(ValueError, match="logistic"):
        rehead.train(photos, method="forest", **again)
    with pytest.raises(rehead.UsageError, match="folds"):
        rehead.train(photos, folds=2, **again)
    table = tmp_path / "photos.csv"
    table.write_text("path,kind\na.png,red\n")
    with pytest.raises(rehead.InputError, match=r'columns=\{"label": NAME\}'):
        rehead.train(table, **again)


def test_warnings_are_python_s(photos, tmp_path):
    folder = tmp_path / "photos"
    for name in COLOURS:
        (folder / name).mkdir(parents=True)
        for path in (photos / name).iterdir():
            (folder / name / path.name).write_bytes(path.read_bytes())
    (folder / "red" / "broken.jpg").write_bytes(b"no photo")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run = rehead.train(folder, out=tmp_path / "run", backbone=BACKBONE, engine="cpu", store=False)
    assert any(warning.category is UserWarning and "red/broken.jpg" in str(warning.message) for warning in warned)
    assert [rejected["name"] for rejected in run.config["rejected"]] == ["red/broken.jpg"]
