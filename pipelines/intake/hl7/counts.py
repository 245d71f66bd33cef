"""What the trailers of a file declare (BTS-1: messages of a batch, FTS-1: batches of a file), held against what there is."""

from pipelines.intake.hl7.split import Part


class Counts:
    """Counts the parts of a file as they come."""

    def __init__(self) -> None:
        self.messages = self.batches = self.all_messages = 0

    def take(self, part: Part) -> str | None:
        """Count a part; the code of the finding where a trailer declares another number than there was."""
        match part.name:
            case "MSH":
                self.messages, self.all_messages = self.messages + 1, self.all_messages + 1
            case "BHS":
                self.messages, self.batches = 0, self.batches + 1
            case "FHS":
                self.messages = self.batches = self.all_messages = 0
            case "BTS":
                there, self.messages = {self.messages}, 0
                return None if read_count(part) in (None, *there) else "batch_count_differs"
            case "FTS":
                there = {self.batches} if self.batches else {1, self.all_messages}  # without batches some count the messages
                self.batches = self.all_messages = 0
                return None if read_count(part) in (None, *there) else "batch_count_differs"
        return None


def read_count(part: Part) -> int | None:
    """The number that a trailer declares; None where it declares none."""
    text = part.content.decode("ascii", "replace")
    declared = text.split(text[3:4] or "|")[1:2]
    return int(declared[0]) if declared and declared[0].strip().isdecimal() else None
