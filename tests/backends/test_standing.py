"""Which replica takes the next batch, and which takes none."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.backends.standing import (
    FIRST_OUT_S,
    MAX_FAILURES,
    MAX_OUT_S,
    Standing,
    choose,
    eligible,
)

DRAW = st.floats(0, 1, exclude_max=True)


def failed(standing: Standing, times: int, now: float) -> Standing:
    for _ in range(times):
        standing = standing.after_failure(now)
    return standing


class TestStanding:
    def test_some_failures_in_a_row_put_it_out_and_one_less_does_not(self) -> None:
        """An answer in between starts the count again."""
        almost = failed(Standing(), MAX_FAILURES - 1, 5.0)
        assert almost.is_in(5.0)
        assert not almost.after_failure(5.0).is_in(5.0)
        assert almost.after_answer().after_failure(5.0).is_in(5.0)

    def test_it_is_back_when_its_time_is_over_and_a_probe_succeeded_and_not_before(self) -> None:
        """Both ways of the bound; no batch is spent on finding out."""
        out = failed(Standing(), MAX_FAILURES, 5.0)
        assert not out.is_in(1e9)
        probed = out.after_probe(ready=True)
        assert not probed.is_in(5.0 + FIRST_OUT_S - 0.001)
        assert probed.is_in(5.0 + FIRST_OUT_S)

    def test_each_time_in_a_row_lasts_twice_as_long_up_to_a_bound(self) -> None:
        """One failure is enough once it has been out, and one answer forgets it all."""
        standing, now, lengths = failed(Standing(), MAX_FAILURES, 0.0), 0.0, []
        for _ in range(12):
            lengths.append(standing.out_until - now)
            now = standing.out_until
            standing = standing.after_probe(ready=True).after_failure(now)
        assert lengths[:4] == [FIRST_OUT_S, 2 * FIRST_OUT_S, 4 * FIRST_OUT_S, 8 * FIRST_OUT_S]
        assert lengths[-1] == MAX_OUT_S
        assert standing.after_probe(ready=True).after_answer() == Standing()

    def test_batches_that_were_on_their_way_do_not_count_again(self) -> None:
        """Sixteen of them fail together when a replica dies."""
        out = failed(Standing(), MAX_FAILURES, 5.0)
        assert failed(out, 16, 5.0 + FIRST_OUT_S / 2) == out

    def test_a_probe_puts_it_out_until_a_probe_succeeds(self) -> None:
        """Time does not heal it, nor does an answer; and a probe does not shorten a wait."""
        out = Standing().after_probe(ready=False)
        assert not out.is_in(1e9)
        assert not out.after_answer().is_in(1e9)
        assert out.after_probe(ready=True) == Standing()
        waiting = failed(Standing(), MAX_FAILURES, 5.0)
        assert not waiting.after_probe(ready=True).is_in(5.0)

    @given(st.lists(st.sampled_from(["answer", "failure", "ready", "unready"])), st.data())
    def test_whatever_happens_it_is_in_again_in_bounded_time(
        self, events: list[str], data: st.DataObject
    ) -> None:
        """With a successful probe and no more failures, after the longest wait."""
        standing, now = Standing(), 0.0
        for event in events:
            now += data.draw(st.floats(0, 60))
            if event == "answer":
                standing = standing.after_answer()
            elif event == "failure":
                standing = standing.after_failure(now)
            else:
                standing = standing.after_probe(ready=event == "ready")
        assert standing.after_probe(ready=True).is_in(now + MAX_OUT_S)


class TestChoice:
    def test_only_those_that_are_in_take_part_but_all_when_none_is(self) -> None:
        """A guess is better than a certain refusal."""
        out = Standing(awaits_probe=True)
        assert eligible([Standing(), out, Standing()], 0.0) == [0, 2]
        assert eligible([out, out], 0.0) == [0, 1]

    @given(st.lists(st.integers(0, 99), min_size=1), DRAW, DRAW)
    def test_the_choice_is_a_candidate_and_never_the_busiest_of_its_two(
        self, pending: list[int], one: float, other: float
    ) -> None:
        """So of two candidates the less busy one always wins."""
        candidates = list(range(len(pending)))
        chosen = choose(candidates, pending, (one, other))
        assert chosen in candidates
        if len(set(pending)) > 1 and len(pending) == 2:
            assert pending[chosen] == min(pending)
        if len(pending) > 1 and pending.count(max(pending)) == 1:
            assert pending[chosen] < max(pending)

    def test_equal_ones_are_drawn_equally_often(self) -> None:
        """Every candidate by its share of the draws."""
        draws = [(one / 40, other / 40) for one in range(40) for other in range(40)]
        chosen = [choose([3, 5, 7, 9], [0] * 10, pair) for pair in draws]
        assert {index: chosen.count(index) for index in set(chosen)} == dict.fromkeys(
            (3, 5, 7, 9), len(draws) // 4
        )
