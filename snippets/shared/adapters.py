"""Adapters: whether LoRA trains above a model's weights at all."""

from __future__ import annotations

import torch

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]  # of Llama, Qwen and their like


def adapter_losses(model, batch: torch.Tensor, steps: int = 10, rate: float = 1e-3) -> list[float]:
    """Losses of ``steps`` steps of LoRA above the frozen ``model``, on one batch of token ids (windows, tokens).

    A falling loss says that gradients reach the adapters, and no more. Raises what PEFT raises if it refuses the model.
    """
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    lora = LoraConfig(r=16, lora_alpha=32, target_modules=PROJECTIONS, task_type="CAUSAL_LM")
    model = get_peft_model(prepare_model_for_kbit_training(model, use_gradient_checkpointing=False), lora)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    batch = batch.to(model.device)
    losses = []
    for _ in range(steps):
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
