# Where a training step's time goes: figures/data/07b-profile.tsv, measured once, as its first lines say.
set xlabel "share of a step's time, %"
set xrange [0:*]
set yrange [8.6:-0.6]
set grid noytics xtics linetype 0 linecolor rgb "#888888" linewidth 0.5
set key bottom right
set ytics noenhanced scale 0
profile = "figures/data/07b-profile.tsv"
plot profile using (50 * $3):($0 - 0.2):(0):(100 * $3):($0 - 0.38):($0 - 0.02):yticlabels(1) \
         with boxxyerror linetype 1 title "A", \
     profile using (50 * $5):($0 + 0.2):(0):(100 * $5):($0 + 0.02):($0 + 0.38) \
         with boxxyerror linetype 2 title "B"
