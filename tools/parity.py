"""Compares features of photos, from file to pooled feature, with PyTorch, torchvision and Pillow.

    trainer embed PHOTOS --backbone resnet18.safetensors --out features.safetensors
    python tools/parity.py PHOTOS resnet18.safetensors features.safetensors

For weights under torchvision's names whose preprocessing is torchvision's default (shorter side to 256, bilinear, the central 224).
Prints the cosine and the relative error of the features, and how often the largest output of the file's own head is the same. Needs
torch, torchvision, safetensors and Pillow.
"""

import argparse
import json
import pathlib

import torch
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import load_file
from torchvision import models, transforms

STEPS = transforms.Compose([
    transforms.Resize(256),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=pathlib.Path)
    parser.add_argument("weights")
    parser.add_argument("features")
    parser.add_argument("--model", default="resnet18")
    args = parser.parse_args()

    with safe_open(args.features, "pt") as file:
        paths = json.loads(file.metadata()["paths"])
        ours = file.get_tensor("features").double()
    model = models.get_model(args.model)
    model.load_state_dict(load_file(args.weights))
    head, model.fc = model.fc.double(), torch.nn.Identity()
    model.eval()
    with torch.inference_mode():
        photos = [STEPS(ImageOps.exif_transpose(Image.open(args.photos / path)).convert("RGB")) for path in paths]
        theirs = torch.cat([model(batch) for batch in torch.stack(photos).split(16)]).double()
        same = (head(ours).argmax(1) == head(theirs).argmax(1)).sum()
    cosine = torch.cosine_similarity(ours, theirs)
    error = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
    print(f"{len(paths)} photos: cosine at least {cosine.min():.7f}, {cosine.mean():.7f} on average")
    print(f"relative error at most {error.max():.2e}, {error.mean():.2e} on average")
    print(f"the head's largest output is the same for {same}")


if __name__ == "__main__":
    main()
