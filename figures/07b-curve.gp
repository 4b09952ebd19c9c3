# Sums while training, three seeds a model: figures/data/07b-runs.tsv, measured once.
set xlabel "training tokens, millions"
set ylabel "bits a character, sums"
set xrange [0:3.1]
set yrange [1.4:2.6]
set datafile missing NaN
runs = "figures/data/07b-runs.tsv"
set key top right
plot for [seed = 1:3] runs using ($3 * 2048e-6):(strcol(1) eq "dense" && $2 == seed && strcol(4) eq "sums" ? $5 : NaN) \
         with lines linetype 1 title seed == 1 ? "dense" : "", \
     for [seed = 1:3] runs using ($3 * 2048e-6):(strcol(1) eq "moe1" && $2 == seed && strcol(4) eq "sums" ? $5 : NaN) \
         with lines linetype 2 dashtype 2 title seed == 1 ? "top-1 of 4 experts" : "", \
     for [seed = 1:3] runs using ($3 * 2048e-6):(strcol(1) eq "mlp" && $2 == seed && strcol(4) eq "sums" ? $5 : NaN) \
         with lines linetype 3 dashtype 3 title seed == 1 ? "MLP" : ""
