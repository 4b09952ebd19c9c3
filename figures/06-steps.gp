# What each step gained: figures/data/06-steps.tsv, measured once on the machine named there.
set ylabel "times as fast as the naive layer"
set yrange [0:10]
set key off
set xtics noenhanced
plot "figures/data/06-steps.tsv" using 0:3:xticlabels(1) with boxes linetype 1, \
     "" using 0:3:(sprintf("%.1f", $3)) with labels offset 0,0.7
