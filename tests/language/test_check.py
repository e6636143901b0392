"""Tests that check.py finds what it is for, in every kind of text, and leaves the rest alone."""

import unittest

import check

RULES = check.parse_rules(check.LIST.read_text(encoding="utf-8"))


def phrases(path: str, text: str) -> list[tuple[int, str]]:
    """Returns line and phrase of every hit."""
    return [(hit.line, hit.phrase) for hit in check.find(path, text, RULES)]


class Finds(unittest.TestCase):
    """Texts that have to change."""

    def test_identifiers_in_any_spelling(self):
        for name in ("webhook_hears(", "WebhookHears", "HEARS", "let hears = 1", "'hears'", "is-heard"):
            self.assertEqual(len(phrases("shared/a.rs", f"x {name} y")), 1, name)

    def test_phrases_over_line_breaks(self):
        self.assertEqual(phrases("shared/a.rs", "//! They come\n//! back later.\n"), [(1, "come back")])
        self.assertEqual(phrases("infra/a.md", "Messages that come\nback later"), [(1, "come back")])
        self.assertEqual(phrases("infra/a.py", "x = 1\n# All of\n# its own\n"), [(2, "of its own")])

    def test_noun_clauses_at_the_start_of_a_text(self):
        for path, text in (
            ("shared/a.rs", "/// What a webhook subscribes to.\n"),
            ("shared/a.rs", "let a = 1; // What it takes.\n"),
            ("tests/a.js", "// What webhooks are sent.\n"),
            ("infra/a.md", "# Title\n\n- What it takes.\n"),
            ("infra/a.md", "One sentence. What follows is another.\n"),
            ("infra/a.yaml", "# What it does.\n"),
        ):
            self.assertEqual(len(phrases(path, text)), 1, text)

    def test_long_names_of_tests(self):
        name = "a" * 61
        for text in (
            f"#[test]\nfn {name}() {{",
            f'#[tokio::test(flavor = "x")]\n// why\nasync fn {name}() {{',
            f"#[test]\n#[ignore]\nfn {name}()",
        ):
            self.assertEqual(phrases("tests/it/a.rs", text)[0][1], name)
        self.assertEqual(len(phrases("tests/a.py", f"    def test_{name}(self):\n")), 1)

    def test_long_titles_of_javascript_tests(self):
        title = "a " * 30 + "b"
        for text in (
            f"test('{title}', async () => {{",
            f'test.skip("{title}", () => {{',
            f"  uiTest(\n    `{title}${{theme}}`,\n    {{}},",
            f"test(base === V1 ? 'short' : '{title}', run);",
            f"test('{title[:-3]}it\\'s', run);",
        ):
            for path in ("tests/a.js", "tests/a.mjs", "tests/a.ts"):
                hits = phrases(path, f"\n{text}")
                self.assertEqual(len(hits), 1, text)
                self.assertIn(title[:-3], hits[0][1])
        self.assertEqual(phrases("tests/a.js", f"\nuiTest(\n  '{title}',")[0][0], 3)

    def test_british_spelling(self):
        self.assertEqual(phrases("infra/a.md", "organisations behaviour licence"), [(1, "organisations"), (1, "behaviour"), (1, "licence")])

    def test_limits_by_path(self):
        self.assertEqual(phrases("tests/bench/a.rs", "a bar is missed"), [(1, "bar")])
        self.assertEqual(phrases("functions/console/assets/a.js", "a bar is drawn"), [])


class Ignores(unittest.TestCase):
    """Texts that may stay."""

    def test_other_words(self):
        for path, text in (
            ("shared/a.rs", "let x = y.floor(); // the newsletter, wallet, shears; wall clock"),
            ("shared/a.rs", "use quick_cache::sync::Cache;"),
            ("shared/a.rs", "for good in [1, 2] {"),
            ("shared/a.rs", "/// Free room for headers. There is no room left.\n"),
            ("shared/a.rs", "// What is it?\n"),
            ("infra/a.md", "The dead-letter queue. See https://example.com/behaviour/anew\n"),
            ("infra/a.yaml", "DeadLetterQueue: x\ndeadLetterTargetArn: y\n"),
            ("tests/it/a.rs", f"#[test]\nfn {'a' * 60}() {{}}\nfn {'b' * 70}() {{}}\n"),
            ("tests/a.js", f"test('{'a' * 60}', run);\ntest(`{'a' * 40}${{locale.replace('_', '-').toUpperCase()}}`, run);"),
            ("tests/a.js", f"/x/.test('{'a' * 61}');\ntest(name, '{'a' * 61}');\nlatest('{'a' * 61}');"),
            ("tests/it/a.rs", "async fn retry_after_429_waits_as_told() {"),
            ("tests/it/a.rs", 'assert_eq!(stats["silence"], 1);'),
            ("tests/src/a.rs", 'post("/behaviours/x")'),
        ):
            self.assertEqual(phrases(path, text), [], text)

    def test_files_that_are_not_ours(self):
        for path in ("LICENSE", "Cargo.lock", "infra/local/requirements.txt", "tests/clients/package-lock.json", "tests/events/api.json"):
            self.assertFalse(check.is_text(path), path)
        for path in (
            "README.md",
            "infra/local/requirements.in",
            "functions/console/assets/en.js",
            "tests/console/types.d.ts",
            "infra/template.yaml",
            ".ci/run",
            ".deny.toml",
        ):
            self.assertTrue(check.is_text(path), path)


class Lists(unittest.TestCase):
    """The list itself."""

    def test_every_rule_is_read(self):
        lines = check.LIST.read_text(encoding="utf-8").splitlines()
        self.assertEqual(len(RULES), sum(1 for line in lines if line and not line.startswith("#")))
        self.assertGreater(len(RULES), 100)

    def test_a_line_that_is_no_rule_is_an_error(self):
        for line in ("phrase", "phrase => ", "phrase => other | unless x", "( => other"):
            with self.assertRaises((ValueError, check.re.error), msg=line):
                check.parse_rules(line)


if __name__ == "__main__":
    unittest.main()
