"""What the repository offers to those who carry on: issue forms, citation, hooks, release."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import seglight

ROOT = Path(__file__).parents[2]


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_an_issue_about_a_fault_must_have_the_versions() -> None:
    fields = {field.get('id'): field for field in read('.github/ISSUE_TEMPLATE/bug.yml')['body']}
    assert fields['info']['attributes']['label'] == 'seglight info'
    assert fields['info']['validations'] == {'required': True}


@pytest.mark.parametrize('path', sorted((ROOT / '.github/ISSUE_TEMPLATE').glob('*.yml')), ids=lambda path: path.name)
def test_a_form_has_what_github_requires(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    if path.name == 'config.yml':
        assert form == {'blank_issues_enabled': False}
        return
    assert {'name', 'description', 'body'} <= form.keys()
    inputs = [field for field in form['body'] if field['type'] != 'markdown']
    assert inputs
    assert all(field['attributes']['label'] for field in inputs)
    assert len({field['id'] for field in inputs}) == len(inputs)


def test_the_citation_has_the_version() -> None:
    citation = read('CITATION.cff')
    assert citation['version'] == seglight.__version__
    assert {'cff-version', 'message', 'title', 'authors'} <= citation.keys()


def test_the_changelog_has_the_sections_of_keep_a_changelog() -> None:
    text = (ROOT / 'CHANGELOG.md').read_text()
    assert re.findall(r'^## (.*)$', text, re.MULTILINE)[0] == '[Unreleased]'
    kinds = set(re.findall(r'^### (.*)$', text, re.MULTILINE))
    assert kinds <= {'Added', 'Changed', 'Deprecated', 'Removed', 'Fixed', 'Security'}


def test_the_hooks_are_those_of_the_test_command() -> None:
    entries = [hook['entry'] for repo in read('.pre-commit-config.yaml')['repos'] for hook in repo['hooks']]
    assert [entry.split()[0] for entry in entries] == ['.venv/bin/ruff', '.venv/bin/ruff', '.venv/bin/mypy']
    command = (ROOT / 'scripts/test').read_text()
    assert '"$bin/ruff" check' in command
    assert '"$bin/ruff" format' in command
    assert '"$bin/mypy"' in command


def test_a_release_checks_that_its_tag_is_the_version() -> None:
    steps = read('.github/workflows/release.yaml')['jobs']['build']['steps']
    check = next(step for step in steps if 'tag is the version' in step.get('name', ''))
    assert check['run'] == 'test -f "dist/seglight-${GITHUB_REF_NAME#v}-py3-none-any.whl"'
    assert any('twine check --strict' in step.get('run', '') for step in steps)
