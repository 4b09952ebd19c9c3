# Where a training step's time goes: figures/data/07b-profile.tsv, measured once, as its first lines say.
set style data histograms
set style histogram clustered gap 1
set boxwidth 0.9
set ylabel "share of a step's time, %"
set yrange [0:*]
set xrange [-0.7:8.7]
set key top right
set xtics noenhanced rotate by -35
profile = "figures/data/07b-profile.tsv"
plot profile using (100 * $3):xticlabels(1) linetype 1 title "A: D = 64, two blocks", \
     profile using (100 * $5) linetype 2 title "B: D = 128, four blocks"
