"""Puts one fault after the other into a copy of the engine, or of what finds out who is asking, and shows that a test sees each.

`make mutants` runs all of them; words as arguments choose those whose names hold one. A mutant is a text that stands
exactly once in a file, and what stands there instead. A text that is not there any more is an error: the mutant has to
be written anew. `--stale` looks for nothing but these, in no time.
"""

import argparse
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import calls
import connections
import egress
import guards
import identity
import request

ROOT = pathlib.Path(__file__).resolve().parents[2]
WORK = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve() / "mutants"
ENGINE = ["--test", "engine"]
CONDITION = ["--lib", "policy::condition"]
LISTS = ["--lib", "policy::questions"]
EVALUATOR = "policy/check/evaluator.rs"
VERDICT = "policy/check/verdict.rs"
UNIONS = "policy/check/unions.rs"
PURE = ["access", "analyze", "compile", "identity", "policy", "protocol", "route"]
# In seconds, to build and to run the tests.
PATIENCE = 900

# Name, file, what stands there, what shall stand there, the tests that must see it.
MUTANTS = [
    ("a wildcard is ignored", EVALUATOR,
     "(Subject::Object { user_type, .. } | Subject::Wildcard { user_type }, Shape::Wildcard)",
     "(Subject::Wildcard { user_type }, Shape::Wildcard)", ENGINE),
    ("a wildcard lets in users of every type", EVALUATOR,
     "                    if user_type == restriction.user_type =>\n                {\n                    0",
     "                    if user_type == user_type =>\n                {\n                    0", ENGINE),
    ("a wildcard lets in usersets", EVALUATOR,
     "(Subject::Object { .. } | Subject::Wildcard { .. } | Subject::Userset { .. }, _) => continue,",
     "(Subject::Userset { .. }, Shape::Wildcard) => 0,\n                _ => continue,", ENGINE),
    ("an error keeps the frames that it met", VERDICT,
     "if truth == Truth::False { self.low", "if truth != Truth::True { self.low", ENGINE),
    ("a userset does not have its own relation", EVALUATOR,
     "if self.subject == (Subject::Userset { relation: id, number: object }) {", "if false {", ENGINE),
    ("a stored userset is not the user itself", EVALUATOR,
     "&& graph.has(hop.edge, object, number)", "&& false", ENGINE),
    ("what is subtracted is not looked at", EVALUATOR,
     "verdict = verdict.but_not(self.run(subtract, object, depth));", "let _ = subtract;", ENGINE),
    ("a base that is open is not subtracted from", EVALUATOR,
     "if !verdict.is_plainly_false() {\n            verdict = verdict.but_not",
     "if verdict.is_true() {\n            verdict = verdict.but_not", ENGINE),
    ("an error of a user's tuple is lost where everybody's tuple says no", EVALUATOR,
     "verdict = if found.is_true() { found } else { verdict.or(found) };", "verdict = found;", ENGINE),
    ("a union ends at an error", EVALUATOR,
     "verdict = if next.is_true() { next } else { verdict.or(next) };\n            if verdict.is_true() {",
     "verdict = if next.is_true() { next } else { verdict.or(next) };\n"
     "            if verdict.is_true() || matches!(verdict.truth, Truth::Error(_)) {", ENGINE),
    ("a union looks at its first operand only", EVALUATOR,
     "let next = self.run(operand, object, depth);\n            verdict = if next.is_true()",
     "let next = self.run(operand, object, depth);\n            if true { verdict = next; break; }\n"
     "            verdict = if next.is_true()", ENGINE),
    ("an intersection holds if one operand does", EVALUATOR,
     "if verdict.is_plainly_false() {\n                break;", "if next.is_true() {\n                verdict = next;\n                break;",
     ENGINE),
    ("an intersection ends at an error", EVALUATOR,
     "verdict = if next.is_plainly_false() { next } else { verdict.and(next) };\n            if verdict.is_plainly_false() {",
     "verdict = if next.is_plainly_false() { next } else { verdict.and(next) };\n"
     "            if verdict.is_plainly_false() || matches!(verdict.truth, Truth::Error(_)) {", ENGINE),
    ("one hop more is allowed", EVALUATOR, "const TOO_DEEP: u8 = 25;", "const TOO_DEEP: u8 = 26;", ENGINE),
    ("one hop less is allowed", EVALUATOR, "const TOO_DEEP: u8 = 25;", "const TOO_DEEP: u8 = 24;", ENGINE),
    ("computed relations cost a hop", EVALUATOR,
     "self.nested(|this| this.relation(*id, object, depth))", "self.nested(|this| this.hop(*id, object, depth + 1))",
     ENGINE),
    ("too deep is a no", EVALUATOR,
     "self.witness.remark(Remark::TooDeep);\n            return Verdict::error(Failure::Depth);",
     "self.witness.remark(Remark::TooDeep);\n            return Verdict::FALSE;", ENGINE),
    ("too many steps are a no", EVALUATOR,
     "return Verdict::error(failure);", "let _ = failure;\n            return Verdict::FALSE;", ENGINE),
    ("a cycle is a plain no", EVALUATOR, "return Verdict::cut(frame);", "let _ = frame;\n            return Verdict::FALSE;",
     ENGINE),
    ("a cycle is an error", EVALUATOR,
     "return Verdict::cut(frame);", "let _ = frame;\n            return Verdict::error(Failure::Depth);", ENGINE),
    ("a cycle through a subtrahend is a no that is subtracted", VERDICT,
     "(Truth::True, Truth::False) => Truth::False,\n        };", "(Truth::True, Truth::False) => Truth::True,\n        };", ENGINE),
    ("every cycle in a subtrahend denies", VERDICT,
     "Self { low: if is_open_above { self.low } else { CLOSED }, ..self }", "let _ = is_open_above;\n        self", ENGINE),
    ("an error in a subtrahend is a no", VERDICT,
     "(Truth::True, Truth::Error(failure)) => Truth::Error(failure),\n            // An open",
     "(Truth::True, Truth::Error(_)) => Truth::True,\n            // An open", ENGINE),
    ("an error in the base beats the subtrahend", VERDICT,
     "(_, Truth::True) => return Self { height: self.height.max(subtracted.height), ..Self::FALSE },",
     "(Truth::Error(failure), Truth::True) => Truth::Error(failure),\n"
     "            (_, Truth::True) => return Self { height: self.height.max(subtracted.height), ..Self::FALSE },", ENGINE),
    ("false beats an error in a union", VERDICT,
     "let truth = if matches!(self.truth, Truth::Error(_)) { self.truth } else { other.truth };",
     "let truth = other.truth;", ENGINE),
    ("an error beats false in an intersection", VERDICT,
     "(Truth::False, _) | (_, Truth::False) => Truth::False,\n            (Truth::Error(failure), _) | (_, Truth::Error(failure)) => Truth::Error(failure),",
     "(Truth::Error(failure), _) | (_, Truth::Error(failure)) => Truth::Error(failure),\n"
     "            (Truth::False, _) | (_, Truth::False) => Truth::False,", ENGINE),
    ("what rests on a cycle is remembered", EVALUATOR,
     "Truth::False if verdict.is_plainly_false() => self.memo.answer(key, false, verdict.height),",
     "Truth::False => self.memo.answer(key, false, verdict.height),", ENGINE),
    ("answers are remembered without their depth", EVALUATOR,
     "Known::Answer { is_true, height } if depth.saturating_add(height) < TOO_DEEP => {",
     "Known::Answer { is_true, height } => {", ENGINE),
    ("a failed search is not repeated nearer to the beginning", EVALUATOR,
     "Known::Seen { depth: seen, failed: true } if depth < seen => None,",
     "Known::Seen { depth: seen, failed: true } if depth < seen && false => None,", ENGINE),
    ("who cannot reach a relation is looked for", EVALUATOR,
     "plans.plan(id).filter(|_| plans.reaches(id, self.kind))", "plans.plan(id)", ENGINE),
    ("an intersection is within reach by one operand", "policy/check/reach.rs",
     "all.iter_mut().zip(&one).for_each(|(all, one)| *all &= one);",
     "all.iter_mut().zip(&one).for_each(|(all, one)| *all = if *all == u64::MAX { *one } else { *all | one });", ENGINE),
    ("a wildcard is not within reach", "policy/check/reach.rs",
     "insert(set, self.object(restriction.user_type));\n                insert(set, self.wildcard(restriction.user_type));",
     "insert(set, self.wildcard(restriction.user_type));", ENGINE),
    ("rows are compared though their tuples have conditions", EVALUATOR,
     "if edges.any(|edge| self.graph.edge_has_conditions(edge)) {", "if edges.any(|_| false) {", ENGINE),
    ("wide rows forget wildcards", EVALUATOR,
     "Shape::Wildcard | Shape::Userset(_) => has_wildcard = true,", "Shape::Wildcard | Shape::Userset(_) => {}", ENGINE),
    ("followed: a tuple counts though it has a condition", UNIONS,
     "if is_there {\n                    return None;", "if is_there {\n                    return Some(true);", ENGINE),
    ("followed: tuples lead on though they have conditions", UNIONS,
     "if edge.has_conditions() || depth + 1 >= TOO_DEEP {", "if depth + 1 >= TOO_DEEP {", ENGINE),
    ("followed: too many hops", UNIONS,
     "if edge.has_conditions() || depth + 1 >= TOO_DEEP {",
     "if edge.has_conditions() || depth > TOO_DEEP {", ENGINE),
    ("followed: wildcards are ignored", UNIONS,
     "edge.has_at(object, 0)", "edge.has_at(object, number)", ENGINE),
    ("followed: a user's own row is that of another tuple", UNIONS,
     "own.iter().find(|(own, _)| own == id)", "own.iter().next()", ENGINE),
    ("followed: users of every type count", UNIONS,
     "self.exact.iter().filter(|(_, restriction)| restriction.user_type == user_type)", "self.exact.iter()", ENGINE),
    ("followed: a wide row is not gone through", UNIONS, "Compared::Open => {}", "Compared::Open => continue,", ENGINE),
    ("followed: wide rows forget wildcards and conditions", UNIONS,
     "            nothing_else = false;\n", "", ENGINE),
    ("followed: wide rows forget what the target leads to", UNIONS,
     "let mut nothing_else = target.hops.is_empty();", "let mut nothing_else = true;", ENGINE),
    ("followed: the end of a way is seen whatever its condition says", UNIONS,
     "is_exact(*id) && !graph.edge_has_conditions(*id)", "is_exact(*id)", ENGINE),
    ("followed: what gives the user another relation is near too", UNIONS,
     "self.exact.iter().any(|(exact, _)| *exact == id)", "true || self.exact.iter().any(|(exact, _)| *exact == id)", ENGINE),
    ("followed: intersections and exclusions are left out of unions", UNIONS,
     "Plan::All(_) | Plan::Except(_) => return None,", "Plan::All(_) | Plan::Except(_) => {}", ENGINE),
    ("conditions are not asked", "policy/check/conditional.rs",
     "if !graph.edge_has_conditions(edge) {", "if true {", ENGINE),
    ("a condition without an answer is a no", "policy/check/conditional.rs",
     "self.fault.get_or_insert(fault);\n                Verdict::error(Failure::Condition)",
     "self.fault.get_or_insert(fault);\n                Verdict::FALSE", ENGINE),
    ("a condition without an answer holds", "policy/check/conditional.rs",
     "Err(_) if self.circumstances.unanswered == Unanswered::Holds => Verdict::TRUE,", "Err(_) if true => Verdict::TRUE,",
     ENGINE),
    ("the request's context wins over the tuple's", "policy/condition/compiled.rs",
     "match own.or(slot.as_ref()) {", "match slot.as_ref().or(own) {", ENGINE),
    ("a missing parameter does not matter", "policy/condition/compiled.rs",
     "None => return (Err(self.missing(tuple, slots)), 0),", "None => return (Ok(false), 0),", ENGINE),
    ("contextual tuples take the place of all others", "policy/questions/contextual.rs",
     "let mut policy = None;",
     "let mut policy = (!tuples.is_empty()).then(|| Policy::new(crate::policy::GraphBuilder::new(std::sync::Arc::clone(self.model())).finish(), Default::default()));",
     ENGINE),
    ("of two contextual tuples the last counts", "policy/questions/contextual.rs",
     "for (position, (tuple, condition)) in tuples.iter().enumerate().rev() {",
     "for (position, (tuple, condition)) in tuples.iter().enumerate() {", ENGINE),
    ("a contextual tuple keeps the condition of the stored", "policy/graph/change.rs",
     "edge.conditions.set(object, user, carried);\n        Ok(())", "let _ = carried;\n        Ok(())", ENGINE),
    ("deleted tuples stay", "policy/graph/change.rs", "edge.users.remove(object, user);", "", ENGINE),
    ("lists leave out what is only possible", "policy/questions/objects.rs",
     "if !self.known.contains(&object) {", "if false {", ENGINE),
    ("lists forget errors", "policy/questions/objects.rs",
     "Truth::True => self.error = outcome.answer().err(),", "Truth::True => {}", ENGINE),
    ("lists fail for every error", "policy/questions/objects.rs",
     "let generous = Circumstances { unanswered: Unanswered::Holds, ..strict };",
     "self.error = Some(crate::policy::CheckError::StepsExceeded);\n"
     "                let generous = Circumstances { unanswered: Unanswered::Holds, ..strict };", ENGINE),
    ("lists of users ignore what is subtracted", "policy/questions/expansion.rs",
     "Ok(exclusion(base, subtract))", "let _ = subtract;\n                Ok(base)", LISTS),
    ("lists of users take any operand of an intersection", "policy/questions/expansion.rs",
     "operands.iter().all(|operand| {", "operands.iter().any(|operand| {", LISTS),
    ("lists of users go deeper", "policy/questions/expansion.rs",
     "const TOO_DEEP: u8 = 25;", "const TOO_DEEP: u8 = 26;", LISTS),
    ("places are in UTC", "policy/condition/eval/zone.rs",
     "Ok(i64::from(known.to_offset(moment).seconds()))", "let _ = moment;\n    Ok(0)", CONDITION),
    ("names of zones have no case", "policy/condition/eval/zone.rs", "known.iana_name() != Some(zone) || ", "", CONDITION),
]


def copied():
    """A copy of all that is built."""
    tree = WORK / "tree"
    shutil.rmtree(tree, ignore_errors=True)
    left_out = shutil.ignore_patterns("target", ".git", "node_modules", "corpus", "artifacts", "__pycache__")
    # As of now, or cargo would take what a run that was broken off has built for what is there.
    shutil.copytree(ROOT, tree, copy_function=shutil.copy, ignore=left_out)
    return tree


def features(tests):
    """What the pure core's tests do not need takes long to build."""
    kind, name = tests[:2]
    is_pure = name == "engine" if kind == "--test" else name.split("::")[0] in PURE
    return ["--no-default-features"] if is_pure else []


def tested(tree, tests):
    """Whether the tests pass, and what they say."""
    environment = os.environ | {"PORTCULLIS_WORLDS": "150", "RUST_BACKTRACE": "0"}
    if tests[1] == "engine":
        environment["CARGO_TARGET_DIR"] = str(WORK / "build")
    else:
        # Where no graphs are searched, what is optimized takes longer to build than it saves.
        environment |= {"CARGO_TARGET_DIR": str(WORK / "plain"), "CARGO_PROFILE_DEV_OPT_LEVEL": "0", "CARGO_PROFILE_DEV_DEBUG": "0"}
    command = ["cargo", "test", "-p", "portcullis", *features(tests), *tests[:2], "--", *tests[2:]]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    ran = subprocess.Popen(command, cwd=tree, env=environment, start_new_session=True, **pipes)
    try:
        said, _ = ran.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        # Some faults make a search that never ends, which a test sees too.
        os.killpg(ran.pid, signal.SIGKILL)
        ran.wait()
        return False, "the tests did not end"
    return ran.returncode == 0, said


def stale(mutants):
    """Tells of the mutants whose text does not stand exactly once, or is what shall stand there; how many there are."""
    count = 0
    for name, file, before, after, _ in mutants:
        times = (ROOT / "src" / file).read_text().count(before)
        if times != 1 or before == after:
            count += 1
            print(f"STALE     {name}: the text stands {times} times in {file}", flush=True)
    return count


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--stale", action="store_true", help="run none, and say which of them have to be written anew")
    parser.add_argument("words", nargs="*", help="only those whose names hold one of these; for example: tunnel cycle")
    asked = parser.parse_args(arguments)
    mutants = MUTANTS + calls.MUTANTS + connections.MUTANTS + egress.MUTANTS + guards.MUTANTS + identity.MUTANTS + request.MUTANTS
    chosen = [mutant for mutant in mutants if not asked.words or any(word in mutant[0] for word in asked.words)]
    if not chosen:
        parser.error("no mutant has such a name")
    if asked.stale:
        return 1 if stale(chosen) else 0
    tree = copied()
    groups = []
    for *_, tests in chosen:
        if tests not in groups:
            groups.append(tests)
    for tests in groups:
        passes, said = tested(tree, tests)
        if not passes:
            sys.exit(f"the tests fail without any mutant:\n{said}")
    wrong = []
    for name, file, before, after, tests in chosen:
        path = tree / "src" / file
        source = path.read_text()
        if source.count(before) != 1:
            wrong.append(name)
            print(f"STALE     {name}: the text stands {source.count(before)} times in {file}", flush=True)
            continue
        path.write_text(source.replace(before, after))
        passes, said = tested(tree, tests)
        path.write_text(source)
        if "could not compile" in said:
            wrong.append(name)
            print(f"BROKEN    {name}: {next(line for line in said.splitlines() if line.startswith('error'))}", flush=True)
        elif passes:
            wrong.append(name)
            print(f"SURVIVED  {name}", flush=True)
        else:
            killers = re.findall(r"^test (\S+) \.\.\. FAILED", said, flags=re.M)
            print(f"killed    {name}: {', '.join(killers[:3]) or 'the tests ended abnormally'}", flush=True)
    print(f"{len(chosen) - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
