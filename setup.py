"""Packages: those under kerasae/, and the folder tuning/, which is installed as kerasae.tuning."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["kerasae*"]), "kerasae.tuning"],
    package_dir={"kerasae.tuning": "tuning"},
)
