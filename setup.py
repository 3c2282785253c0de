from pathlib import Path

from setuptools import find_packages, setup

extras = {
    "progress": ["tqdm>=4.60"],
    "tensorboard": ["tensorboard>=2.12"],
    "plot": ["matplotlib>=3.6", "jinja2>=3"],
    "completion": ["argcomplete>=3"],
    "onnx": ["onnx>=1.16", "onnxscript>=0.3", "onnxruntime>=1.18"],
}
docs = ["sphinx>=7", "myst-parser>=3", "furo>=2024.1"]
test_only = [
    "pytest>=7",
    "pytest-xdist>=3",
    "scikit-learn>=1.2",
    "setuptools>=70.1",
    "nbclient>=0.10",
    "ipykernel>=6",
    "ruff>=0.6",
    "mypy>=1.11",
    "types-PyYAML",
    "types-simplejson",
    "types-tqdm",
]

setup(
    name="slowfast",
    version="0.1.0",
    description="Video classification with SlowFast networks and multigrid training",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=[*find_packages(include=["slowfast", "slowfast.*"]), "slowfast.recipes"],
    package_dir={"slowfast.recipes": "configs"},
    package_data={"slowfast": ["py.typed"], "slowfast.recipes": ["**/*.yaml"]},
    entry_points={"console_scripts": ["slowfast = slowfast.commands:main"]},
    install_requires=[
        "torch>=2.9.1",
        "numpy>=1.24",
        "fvcore>=0.1.5.post20221221",
        "yacs>=0.1.8",
        "simplejson>=3.17",
        "av>=17.1",
        "opencv-python-headless>=4.8",
        "pillow>=9.1",
    ],
    extras_require={
        **extras,
        "all": sorted(sum(extras.values(), [])),
        "docs": docs,
        "test": sorted(sum(extras.values(), [])) + docs + test_only,
    },
)
