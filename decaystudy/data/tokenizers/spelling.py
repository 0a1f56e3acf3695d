"""How many bytes of text each token of a document stands for, so that losses can be stated per byte."""

import numpy as np

from decaystudy.data.tokenizers.tokenizer import Tokenizer


def token_bytes(tokenizer: Tokenizer, ids: np.ndarray) -> np.ndarray:
    """UTF-8 bytes that each token of one document spells, (tokens,) float64; the end-of-document token spells none.

    Exact for byte-level tokenizers, and for others where encoding the decoded text gives the same tokens again (white
    space that belongs to no token counts for the one behind it). Else the text's bytes are shared out evenly.
    """
    table = tokenizer.bytes_by_id()
    if table is not None:
        return table[ids.astype(np.int64)]
    spelled = ids != tokenizer.eos_id
    wanted = ids[spelled].tolist()
    text = tokenizer.decode(wanted)
    found = np.zeros(len(ids))
    again, ends = tokenizer.encode_with_ends(text)
    if again == wanted:
        sizes = np.cumsum([0, *(len(character.encode("utf-8", "surrogatepass")) for character in text)])
        found[spelled] = np.diff(sizes[np.maximum.accumulate([0, *ends])])
    elif wanted:
        found[spelled] = len(text.encode("utf-8", "surrogatepass")) / len(wanted)
    return found
