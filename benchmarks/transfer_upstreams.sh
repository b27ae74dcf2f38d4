#!/usr/bin/env bash
# The 19 backbones of the sweep transfer_tiny_imagenet: ResNet-20 on 100 classes of Tiny-ImageNet at 32 pixels, dense and by
# six methods at 80, 90 and 95 %.
#
#   benchmarks/transfer_upstreams.sh tiny_imagenet100_32.npz runs/upstream
#   tamis transfer sweep transfer_tiny_imagenet --models runs/upstream --root DATA --workers 2
#
# 10 to 20 minutes of one core each; what is finished is not trained again.  All train for 12 epochs, but: WoodFisher prunes
# the dense network and trains for 6 more; a ticket (LTH-T) is the dense network's, trained for 9, 12 or 15 more.  STR's
# threshold grows by itself, so its start was chosen such that about the wanted sparsity comes out; the last few are cut off.
set -euo pipefail
data=$1 out=$2
tamis=${TAMIS:-tamis}

train() {  # folder, arguments of tamis train
  local folder=$out/$1 again=()
  shift
  [ -f "$folder/summary.json" ] && return
  [ -f "$folder/checkpoints/last.safetensors" ] && again=(--resume)
  "$tamis" train tiny_imagenet100_resnet20_dense --data "$data" --out "$folder" --name "$(basename "$folder")" "${again[@]}" "$@"
}

train dense_0
for sparsity in 0.8 0.9 0.95; do
  train "acdc_$sparsity" --method acdc --sparsity "$sparsity" \
    --options.warmup 1 --options.sparse 1 --options.dense 1 --options.last-dense 1 --options.last-sparse 3
  train "gmp_$sparsity" --method gmp --sparsity "$sparsity"
  train "rigl_$sparsity" --method rigl --sparsity "$sparsity" --options.every 100
  train "woodfisher_$sparsity" --method woodfisher --sparsity "$sparsity" --weights "$out/dense_0" --optimizer.lr 0.02 \
    --train.epochs 6 --options.start 0.1 --options.end 0.1 --options.events 1 --options.gradients 256
done
ticket=(--method ltht --weights "$out/dense_0" --options.fraction 0.2 --schedule.kind constant --schedule.warmup-epochs 0
  --optimizer.lr 0.01)
train ltht_0.8 "${ticket[@]}" --sparsity 0.8 --train.epochs 9
train ltht_0.9 "${ticket[@]}" --sparsity 0.9 --train.epochs 12
train ltht_0.95 "${ticket[@]}" --sparsity 0.95 --train.epochs 15
train str_0.8 --method str --options.trim --sparsity 0.8 --options.initial-logit -3.1
train str_0.9 --method str --options.trim --sparsity 0.9 --options.initial-logit -2.55
train str_0.95 --method str --options.trim --sparsity 0.95 --options.initial-logit -2.15
