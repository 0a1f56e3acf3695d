"""The Hugging Face form of the model. Importing this makes it known to AutoConfig and AutoModelForCausalLM."""

from transformers import AutoConfig, AutoModelForCausalLM

from decaystudy.hub.cache import StateCache
from decaystudy.hub.config import DecayStudyConfig
from decaystudy.hub.modeling import DecayStudyForCausalLM

__all__ = ["DecayStudyConfig", "DecayStudyForCausalLM", "StateCache"]

AutoConfig.register(DecayStudyConfig.model_type, DecayStudyConfig, exist_ok=True)
AutoModelForCausalLM.register(DecayStudyConfig, DecayStudyForCausalLM, exist_ok=True)
