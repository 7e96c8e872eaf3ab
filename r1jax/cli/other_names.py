"""What TRL, verl, open-r1 and Tunix call our keys: for the answer to a key that there is not."""

# The last part of their name, or the last two -> ours.
OURS = {
  # The policy's loss.
  'loss_type': 'grpo.aggregation',
  'loss_agg_mode': 'grpo.aggregation',
  'epsilon': 'grpo.clip_low',
  'clip_ratio': 'grpo.clip_low',
  'clip_ratio_low': 'grpo.clip_low',
  'epsilon_high': 'grpo.clip_high',
  'clip_ratio_high': 'grpo.clip_high',
  'clip_ratio_c': 'grpo.dual_clip',
  'kl_coef': 'grpo.beta',
  'kl_loss_coef': 'grpo.beta',
  'kl_loss_type': 'grpo.kl_form',
  'scale_rewards': 'grpo.advantage_scale',
  'norm_adv_by_std_in_grpo': 'grpo.advantage_scale',
  'adv_estimator': 'grpo.advantage',
  'importance_sampling_level': 'grpo.importance',
  # Samples.
  'n': 'sample.group',
  'num_generations': 'sample.group',
  'max_completion_length': 'sample.max_new',
  'max_response_length': 'sample.max_new',
  'max_new_tokens': 'sample.max_new',
  'max_tokens_to_generate': 'sample.max_new',
  'max_tokens': 'sample.max_new',
  'max_prompt_length': 'data.max_prompt',
  'train_batch_size': 'rl.prompts',
  'batch_size': 'rl.prompts',
  # Updates.
  'learning_rate': 'optimizer.lr',
  'weight_decay': 'optimizer.weight_decay',
  'warmup_steps': 'optimizer.warmup',
  'warmup_ratio': 'optimizer.warmup',
  'lr_scheduler_type': 'optimizer.schedule',
  'adam_beta1': 'optimizer.b1',
  'adam_beta2': 'optimizer.b2',
  'adam_epsilon': 'optimizer.eps',
  'max_grad_norm': 'optimizer.clip_norm',
  'max_steps': 'rl.updates',
  'total_training_steps': 'rl.updates',
  'total_epochs': 'rl.updates',
  'num_train_epochs': 'sft.epochs',
  'steps_per_generation': 'rl.mini_batches',
  'ppo_mini_batch_size': 'rl.mini_batches',
  'ppo_micro_batch_size_per_gpu': 'rl.rows',
  'per_device_train_batch_size': 'rl.rows',
  'per_device_batch_size': 'rl.rows',
  'gradient_accumulation_steps': 'rl.rows',
  'gradient_checkpointing': 'runtime.remat',
  'enable_gradient_checkpointing': 'runtime.remat',
  'sync_ref_model': 'rl.reference_every',
  'ref_model_sync_steps': 'rl.reference_every',
  'bf16': 'runtime.compute_dtype',
  'lora_r': 'lora.rank',
  'lora_rank': 'lora.rank',
  'lora_alpha': 'lora.alpha',
  'target_modules': 'lora.targets',
  'lora_target_modules': 'lora.targets',
  # What is read and written.
  'model_name_or_path': 'checkpoint',
  'model': 'checkpoint',
  'model.path': 'checkpoint',
  'dataset_name': 'data.path',
  'train_files': 'data.path',
  'val_files': 'data.heldout_path',
  'system_prompt': 'data.system',
  'reward_funcs': 'reward.function',
  'reward_weights': 'reward.function',
  'output_dir': 'workdir',
  'default_local_dir': 'workdir',
  # Goes on by itself where the folder holds a run.
  'resume_from_checkpoint': 'workdir',
  'load_best_model_at_end': 'loop.keep_best',
  'save_steps': 'loop.checkpoint_every',
  'save_total_limit': 'loop.keep',
  'save_freq': 'loop.checkpoint_every',
  'eval_steps': 'evaluation.every',
  'test_freq': 'evaluation.every',
  'report_to': 'loop.sinks',
  'logger': 'loop.sinks',
  'filter_groups.enable': 'rl.dynamic_sampling',
  'overlong_buffer.len': 'grpo.overlong_buffer',
}
# What supervised stages call otherwise.
OURS_SFT = {
  'max_steps': 'sft.epochs',
  'max_seq_length': 'sft.capacity',
  'max_length': 'sft.capacity',
  'per_device_train_batch_size': 'sft.batch',
  'per_device_batch_size': 'sft.batch',
  'batch_size': 'sft.batch',
  'dataset_name': 'sft.path',
  'train_files': 'sft.path',
}


def ours(key, there):
  """Our key for what others call `key` (dotted or not), one of the keys `there`; None for none."""
  parts = key.split('.')
  last, two = parts[-1], '.'.join(parts[-2:])
  named = (table.get(name) for name in (two, last) for table in (OURS, OURS_SFT))
  return next((name for name in named if name in there), None)
