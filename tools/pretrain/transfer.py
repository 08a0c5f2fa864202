"""Is the backbone worth having? A new head on the target task, over pretrained and over random features."""

import argparse

from network import ASSETS, ResNet, draw, normalise  # before torch: it sets how threads wait

import torch
from safetensors.torch import load_file
from torch.nn import functional as F


@torch.inference_mode()
def features(model, pictures):
    return torch.cat([model.features(normalise(p)) for p in pictures.split(256)])


def calibrate(model, pictures):
    """Sets BatchNorm's mean and variance to those of `pictures`."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    model.train()
    with torch.no_grad():
        model.features(normalise(pictures))
    model.eval()


def head_accuracy(train, train_labels, test, test_labels, penalty):
    """Logistic regression on standardised features: accuracy on the test pictures."""
    mean, std = train.mean(0), train.std(0) + 1e-6
    train, test = (train - mean) / std, (test - mean) / std
    weight = torch.zeros(train.shape[1], int(train_labels.max()) + 1, requires_grad=True)
    bias = torch.zeros(weight.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=300, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(train @ weight + bias, train_labels) + penalty * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return ((test @ weight + bias).argmax(1) == test_labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--weights", default=ASSETS / "demo_backbone.safetensors")
    parser.add_argument("--train", type=int, default=25, help="training pictures a class")
    parser.add_argument("--test", type=int, default=100, help="test pictures a class")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--penalties", type=float, nargs="+", default=[1e-3, 1e-2, 1e-1])
    args = parser.parse_args()

    state = {name: tensor.float() for name, tensor in load_file(args.weights).items()}
    results = {}
    for seed in range(args.seeds):
        pictures, labels, names = draw("target", args.train + args.test, seed)
        of_class = torch.arange(len(labels)) % (args.train + args.test)
        train, test = of_class < args.train, of_class >= args.train
        torch.manual_seed(seed)
        pretrained, random, calibrated = (ResNet(len(state["fc.bias"])).eval() for _ in range(3))
        pretrained.load_state_dict(state, strict=False)
        calibrated.load_state_dict(random.state_dict())
        calibrate(calibrated, pictures[train])
        backbones = {"pretrained": pretrained, "random": random, "random, BatchNorm calibrated": calibrated}
        for name, model in backbones.items():
            x = features(model, pictures)
            for penalty in args.penalties:
                score = head_accuracy(x[train], labels[train], x[test], labels[test], penalty)
                results.setdefault((name, penalty), []).append(score)
        colour = pictures.float().mean((1, 2))
        score = head_accuracy(colour[train], labels[train], colour[test], labels[test], 1e-3)
        results.setdefault(("mean colour", 1e-3), []).append(score)

    print(f"{len(names)} classes: {', '.join(names)}")
    print(f"{args.train} training and {args.test} test pictures a class, {args.seeds} seeds, chance {1 / len(names):.1%}")
    for (name, penalty), scores in results.items():
        scores = torch.tensor(scores)
        print(f"{name:30} penalty {penalty:<6g} {scores.mean():6.1%} ± {scores.std():.1%}")


if __name__ == "__main__":
    main()
