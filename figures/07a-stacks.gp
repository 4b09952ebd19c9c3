# Stacks after training, by scale and normalization: figures/data/07a-stacks.tsv, measured once.
set xlabel "scale of the first weights"
set ylabel "bits a character, held out"
set yrange [2.7:4.1]
set xrange [-0.5:2.5]
set xtics ("0.5" 0, "1" 1, "4" 2)
set key top center horizontal maxrows 2 width 1
stacks = "figures/data/07a-stacks.tsv"
plot for [n = 0:3] stacks every 4::n using ($0 + (n - 1.5) * 0.16):4:5 with yerrorbars linetype n + 1 title word("none RMS layer batch", n + 1)
