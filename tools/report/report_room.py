"""What a page has room for. Where there is more it is thinned, and the page says so."""
import dataclasses

MOST_BYTES = 20_000_000  # of a page


@dataclasses.dataclass(frozen=True)
class Room:
    rows: int = 12_000        # answers behind numbers, of all subjects together
    text: int = 6_000_000     # bytes of prompts, targets and answers, of all subjects together
    points: int = 60_000      # of a run's loss curves: what a page draws in a moment
    weights: int = 2_000_000  # of all maps sites × experts of an analysis
    tokens: int = 40_000      # of all texts coloured by expert of an analysis
    cosines: int = 2_000_000  # of all frames of a space of gradients
    skills: int = 1_500_000   # of all frames of a routing table
    spans: int = 6_000        # from taken to done, of a place where work goes on

    def part(self, share):
        return Room(**{name: max(1, int(value * share)) for name, value in dataclasses.asdict(self).items()})
